"""Domain values to and from the generated messages, a file a service: for calls that are not hot.

Owns: the shape of cold messages. Must not know: connections, loops. Its modules are imported when first used.
"""
