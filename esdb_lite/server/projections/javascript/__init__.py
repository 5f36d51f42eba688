"""JavaScript projections, without a server: what a query defines, what its handlers make of events, and as which text.

Owns: the surface that queries are written against, faults, states, results, what is to be written. Must not know: the
log, streams that are there, threads, the clock.
"""
