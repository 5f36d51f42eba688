"""Regular expressions of strangers: .NET's syntax, matched within a bound on the work.

Owns: translation, the bound, the automaton for what exceeds it. Must not know: what is matched, who asks, the clock.
"""
