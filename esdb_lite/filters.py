"""Which events of all events to read: by type or stream name, with regular expressions or prefixes.

Owns: how the caller's patterns become the one expression that a server takes. Must not know: protobuf, calls.
Servers search for a regular expression anywhere in the value, so that alternatives have to be anchored as a group:
`^a|b$` would find everything that begins with a or ends with b.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from esdb_lite._checks import checked_int, checked_text
from esdb_lite.errors import InvalidArgument, WrongArgumentType

ESDB_EVENTS_REGEX = r"\$.*"
"""Matches the types of events that servers write for themselves."""

DEFAULT_EXCLUDE: Sequence[str] = (ESDB_EVENTS_REGEX,)

_INLINE_FLAGS = r"\(\?[a-zA-Z-]+\)"
_DOTNET = ((r"\\[pP]\{\w+\}", r"\\w"), (r"\(\?<(?=[A-Za-z_])", "(?P<"), (r"\(\?>", "(?:"), (r"\\z", r"\\Z"))
# What Python says of expressions that .NET refuses as well
_NOWHERE = (
    r"missing \)|unbalanced|unterminated|nothing to repeat|multiple repeat|min repeat|bad character range \w-\w$"
    r"|bad escape (\(end|\\[pP])"
)
_MOST = 2**32 - 1


class FilterBy(enum.Enum):
    """The part of an event that a filter looks at."""

    EVENT_TYPE = "event type"
    STREAM_NAME = "stream name"


@dataclass(frozen=True)
class Filter:
    """Selects events on the server. Make one with `by_event_type()` or `by_stream_name()`.

    The rules are in section 13 of the protocol notes. Raises InvalidArgument.
    """

    by: FilterBy
    """What it looks at."""
    regex: str = ""
    """One .NET regular expression, searched for anywhere; empty with `prefixes`."""
    prefixes: tuple[str, ...] = ()
    """The value begins with one of these; empty with `regex`."""
    window: int = 32
    """How many events the server searches at a time."""
    checkpoint_interval: int = 32
    """A subscription gets a `Checkpoint` after so many windows."""

    def __post_init__(self) -> None:
        if not isinstance(self.by, FilterBy):
            raise WrongArgumentType("by", self.by, "must be a FilterBy")
        checked_text("regex", self.regex)
        object.__setattr__(self, "prefixes", _texts("prefixes", self.prefixes))
        if bool(self.regex) == bool(self.prefixes):
            raise InvalidArgument("filter", self.regex or self.prefixes, "must have a regular expression or prefixes")
        checked_int("window", self.window, 1, _MOST)
        checked_int("checkpoint_interval", self.checkpoint_interval, 1, _MOST)

    @classmethod
    def by_event_type(
        cls,
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        regex: str = "",
        window: int = 32,
        checkpoint_interval: int = 32,
    ) -> Filter:
        """Select by event type. Pass exactly one of the first four arguments.

        `include`: regular expressions, one of which matches the whole type. `exclude`: none of them matches it.
        `prefixes`: the type begins with one of them. `regex`: one expression, searched for anywhere in the type, and
        passed to the server unchanged. Servers use .NET's regular expressions. Raises InvalidArgument.
        """
        chosen, starts = _choose(include, exclude, prefixes, regex)
        return cls(FilterBy.EVENT_TYPE, chosen, starts, window, checkpoint_interval)

    @classmethod
    def by_stream_name(
        cls,
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        regex: str = "",
        window: int = 32,
        checkpoint_interval: int = 32,
    ) -> Filter:
        """Select by stream name. The arguments are those of `by_event_type()`."""
        chosen, starts = _choose(include, exclude, prefixes, regex)
        return cls(FilterBy.STREAM_NAME, chosen, starts, window, checkpoint_interval)


def make_filter(exclude: Iterable[str], include: Iterable[str], given: Filter | None) -> Filter | None:
    """Return the filter that the arguments of a read or subscription ask for; None: everything."""
    included = patterns("filter_include", include)
    excluded = patterns("filter_exclude", exclude)
    if given is None:
        regex = including(included) if included else excluding(excluded) if excluded else ""
        return Filter(FilterBy.EVENT_TYPE, regex) if regex else None
    if not isinstance(given, Filter):
        raise WrongArgumentType("filter", given, "must be a Filter")
    if included or excluded != tuple(DEFAULT_EXCLUDE):
        raise InvalidArgument("filter", given, "cannot be combined with filter_include or filter_exclude")
    return given


def patterns(argument: str, values: Iterable[str]) -> tuple[str, ...]:
    """Check a sequence of regular expressions; a lone string counts as a sequence of one."""
    texts = _texts(argument, values)
    for text in texts:
        _check_regex(argument, text)
    return texts


def including(alternatives: Sequence[str]) -> str:
    """Return the expression that finds what one of the alternatives matches as a whole."""
    return f"^(?:{_join(alternatives)})$"


def excluding(alternatives: Sequence[str]) -> str:
    """Return the expression that finds what none of the alternatives matches as a whole."""
    return f"^(?!(?:{_join(alternatives)})$)"


def _join(alternatives: Sequence[str]) -> str:
    # flags inside an alternative would otherwise go on to apply to those after it
    return "|".join(f"(?:{text})" if re.search(_INLINE_FLAGS, text) else text for text in alternatives)


def _choose(
    include: Iterable[str], exclude: Iterable[str], prefixes: Iterable[str], regex: str
) -> tuple[str, tuple[str, ...]]:
    included, excluded = patterns("include", include), patterns("exclude", exclude)
    starts = _texts("prefixes", prefixes)
    checked_text("regex", regex)
    if sum(map(bool, (included, excluded, starts, regex))) != 1:
        raise InvalidArgument("filter", regex, "needs exactly one of include, exclude, prefixes and regex")
    if included or excluded:
        return (including(included) if included else excluding(excluded)), ()
    if regex:
        _check_regex("regex", regex)
    return regex, starts


def _texts(argument: str, values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        values = (values,)
    if isinstance(values, (bytes, dict)) or not isinstance(values, Iterable):
        raise WrongArgumentType(argument, values, "must be a sequence of str")
    texts = tuple(values)
    for text in texts:
        if not checked_text(argument, text):
            raise InvalidArgument(argument, text, "must not contain an empty string")
    return texts


def _check_regex(argument: str, text: str) -> None:
    """Refuse what no engine can read; what only .NET has is for the server to judge."""
    plain = re.sub(_INLINE_FLAGS, "", text)
    for pattern, replacement in _DOTNET:
        plain = re.sub(pattern, replacement, plain)
    try:
        re.compile(plain)
    except (re.error, OverflowError, RecursionError) as error:
        if isinstance(error, re.error) and not re.match(_NOWHERE, error.msg):
            return
        raise InvalidArgument(argument, text, f"is not a regular expression ({error})") from error
