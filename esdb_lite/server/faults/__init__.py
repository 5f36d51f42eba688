"""Faults and cluster roles: what a test orders, the plan that comes of it, and the calls that it decides about."""
