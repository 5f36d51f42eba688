"""The client for code without asyncio: a thin face over the one for asyncio.

Owns: crossing from the caller's threads to an event loop and back. Must not know: how anything is done there.
"""
