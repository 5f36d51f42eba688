r"""Regular expressions as .NET writes them, turned into Python's.

Owns: the differences of syntax. Must not know: what is matched, who asks.

Covered: `\p{..}` with general categories, options in the middle of a pattern, atomic groups, `(?<name>..)`,
`\k<name>`, `\z` and `\Z`, `\e`, `\cX`, subtraction inside character classes, a literal `{`. Refused with a text that
says so: Unicode blocks (`\p{IsGreek}`), `\G`, balancing groups, and look-behinds of variable width.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache
from typing import NamedTuple


class UnsupportedRegex(ValueError):
    """The pattern is malformed, or uses what Python's regular expressions do not have."""


def translate(pattern: str) -> str:
    """Return a .NET pattern in Python's syntax, which may still find faults in it. Raises UnsupportedRegex."""
    try:
        return _Translator(pattern).translate()
    except RecursionError as error:
        raise UnsupportedRegex("nested too deeply") from error


class _RegexGroup(NamedTuple):
    """What is open at some depth of the pattern."""

    options: str
    """The inline group that is open because options were switched on in the middle, `(?i:` and the like."""
    closing: str
    """What ends the group itself."""
    verbose: bool
    """Blanks and comments do not count."""


_CATEGORY = re.compile(r"\\([pP])\{(\w+)\}")
_INLINE_OPTIONS = re.compile(r"\(\?([imnsx]*)(?:-([imnsx]*))?([:)])")
_NAMED_GROUP = re.compile(r"\(\?(?:<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')")
_NAMED_REFERENCE = re.compile(r"\\k(?:<(\w+)>|'(\w+)'|\{(\w+)\})")
_QUANTIFIER = re.compile(r"\{\d+(?:,\d*)?\}")
_PLAIN_ESCAPES = {"z": r"\Z", "Z": r"(?=\n?\Z)", "e": r"\x1b"}
_CLASS_SPECIAL = frozenset("[&|~")


class _Translator:
    """One pass over a pattern, from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._out: list[str] = []
        self._groups = [_RegexGroup("", "", verbose=False)]
        self._atomic = 0

    def translate(self) -> str:
        handlers = {"\\": self._escape, "[": self._class, "(": self._open, ")": self._close, "|": self._alternative}
        while self._at < len(self._pattern):
            handlers.get(self._pattern[self._at], self._character)()
        if len(self._groups) != 1:
            raise UnsupportedRegex("missing )")
        return "".join(self._out) + self._end_options()

    def _take(self, length: int, replacement: str | None = None) -> None:
        end = self._at + length
        self._out.append(self._pattern[self._at : end] if replacement is None else replacement)
        self._at = end

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.match(self._pattern, self._at)

    def _character(self) -> None:
        character = self._pattern[self._at]
        if character == "{" and not self._match(_QUANTIFIER):
            self._take(1, r"\{")
        elif character == "#" and self._groups[-1].verbose:
            end = self._pattern.find("\n", self._at)  # what a comment holds must not be taken for groups
            self._at = end if end >= 0 else len(self._pattern)
        else:
            self._take(1)

    # --- escapes ---

    def _escape(self) -> None:
        if match := self._match(_CATEGORY):
            self._take(match.end() - self._at, f"[{_ranges(match[2], negated=match[1] == 'P')}]")
        elif match := self._match(_NAMED_REFERENCE):
            self._take(match.end() - self._at, f"(?P={match[1] or match[2] or match[3]})")
        else:
            self._take(*self._simple_escape())

    def _simple_escape(self) -> tuple[int, str]:
        escaped = self._pattern[self._at + 1 : self._at + 2]
        if not escaped:
            raise UnsupportedRegex(r"\ at the end of the pattern")
        if escaped in "pPGk":
            raise UnsupportedRegex(rf"\{escaped} is not supported as it stands at position {self._at}")
        if escaped == "c":
            return 3, _control(self._pattern[self._at + 2 : self._at + 3])
        return 2, _PLAIN_ESCAPES.get(escaped) or "\\" + escaped

    # --- groups ---

    def _open(self) -> None:
        options, named = self._match(_INLINE_OPTIONS), self._match(_NAMED_GROUP)
        if options:
            self._inline_options(options)
        elif named:
            self._group(named.end() - self._at, f"(?P<{named[1] or named[2]}>")
        elif self._pattern.startswith("(?#", self._at):
            self._comment()
        elif self._pattern.startswith("(?>", self._at):
            self._atomic_group()
        elif re.compile(r"\(\?[<'][\w-]*-\w+[>']").match(self._pattern, self._at):
            raise UnsupportedRegex("balancing groups are not supported")
        else:
            self._group(1, "(")

    def _group(self, length: int, opening: str, closing: str = ")", *, verbose: bool | None = None) -> None:
        self._take(length, opening)
        self._groups.append(_RegexGroup("", closing, self._groups[-1].verbose if verbose is None else verbose))

    def _comment(self) -> None:
        end = self._pattern.find(")", self._at)
        if end < 0:
            raise UnsupportedRegex("unterminated comment")
        self._at = end + 1

    def _atomic_group(self) -> None:
        if sys.version_info >= (3, 11):
            self._group(3, "(?>")
            return
        # A look-ahead does not backtrack into what it matched; the reference then takes exactly that.
        self._atomic += 1
        name = f"_atomic{self._atomic}"
        self._group(3, f"(?=(?P<{name}>", f"))(?P={name})")

    def _inline_options(self, match: re.Match[str]) -> None:
        on, off = match[1].replace("n", ""), (match[2] or "").replace("n", "")
        opening = f"(?{on}{'-' + off if off else ''}:"
        group = self._groups[-1]
        verbose = "x" in on or (group.verbose and "x" not in off)
        if match[3] == ":":
            self._group(match.end() - self._at, opening, verbose=verbose)
            return
        # In the middle of a pattern options hold to the end of the group, across its alternatives.
        self._take(match.end() - self._at, opening)
        self._groups[-1] = group._replace(options=group.options + opening, verbose=verbose)

    def _end_options(self) -> str:
        return ")" * self._groups[-1].options.count("(")

    def _close(self) -> None:
        if len(self._groups) == 1:
            raise UnsupportedRegex("unbalanced )")
        ending = self._end_options()
        self._take(1, ending + self._groups.pop().closing)

    def _alternative(self) -> None:
        self._take(1, f"{self._end_options()}|{self._groups[-1].options}")

    # --- character classes ---

    def _class(self) -> None:
        self._at += 1
        self._out.append(self._class_body())

    def _class_body(self) -> str:
        """Translate from behind `[` up to and including its `]`."""
        parts = ["["]
        if self._pattern.startswith("^", self._at):
            self._at += 1
            parts.append("^")
        first = True
        while first or not self._pattern.startswith("]", self._at):
            if self._at >= len(self._pattern):
                raise UnsupportedRegex("unterminated character class")
            if self._pattern.startswith("-[", self._at) and not first:
                return self._subtraction("".join(parts) + "]")
            parts.append(self._class_member())
            first = False
        self._at += 1
        return "".join(parts) + "]"

    def _subtraction(self, minuend: str) -> str:
        self._at += 2
        excluded = self._class_body()
        if not self._pattern.startswith("]", self._at):
            raise UnsupportedRegex("a subtraction must be the last part of its character class")
        self._at += 1
        return f"(?:(?!{excluded}){minuend})"

    def _class_member(self) -> str:
        character = self._pattern[self._at]
        if character != "\\":
            self._at += 1
            return "\\" + character if character in _CLASS_SPECIAL or character == "]" else character
        if match := self._match(_CATEGORY):
            self._at = match.end()
            return _ranges(match[2], negated=match[1] == "P")
        length, text = self._simple_escape()
        self._at += length
        return text


def _control(letter: str) -> str:
    if not ("@" <= letter.upper() <= "_"):
        raise UnsupportedRegex(r"\c must be followed by a letter")
    return re.escape(chr(ord(letter.upper()) - 64))


_GENERAL_CATEGORIES = re.compile("C[cfnos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?")


@lru_cache(maxsize=128)
def _ranges(category: str, *, negated: bool) -> str:
    """Return the inside of a character class for a general category: `Lu`, or `L` for all that begin with it."""
    if not _GENERAL_CATEGORIES.fullmatch(category):
        raise UnsupportedRegex(rf"\p{{{category}}} is not supported: only general categories are")
    spans: list[tuple[int, int]] = []
    for code in range(0x10000):  # .NET looks at UTF-16 units, so letters beyond are in no category but Cs
        if unicodedata.category(chr(code)).startswith(category) != negated:
            if spans and spans[-1][1] == code - 1:
                spans[-1] = (spans[-1][0], code)
            else:
                spans.append((code, code))
    return "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in spans)
