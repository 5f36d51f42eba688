"""Applications that are written as an application would be."""
