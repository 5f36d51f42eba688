"""Rules of the console that need no server: who may call it, sessions, charts, filters, addresses."""

from __future__ import annotations

from datetime import timedelta

import pytest

from esdb_lite import Filter, InvalidArgument
from esdb_lite.web.asking import Asked
from esdb_lite.web.choosing import EventChoice
from esdb_lite.web.guard import POLICY, is_allowed
from esdb_lite.web.history import FigureHistory, chart, nice
from esdb_lite.web.places import Places
from esdb_lite.web.rendering import duration, number, size
from esdb_lite.web.sessions import GUESSES, GUESSING_TIME, IDLE, LONGEST, MOST, Guesses, Sessions


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- names by which the console is called ---


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:2113", "localhost", "LOCALHOST:80", "[::1]:2113", "[::1]", "10.1.2.3", "app.localhost:1", "mine.org:9"],
)
def test_names_that_are_answered(host: str) -> None:
    assert is_allowed(host, frozenset({"mine.org"}))


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:2113", "[::1].evil", "mine.org.evil"]
)
def test_names_of_strangers(host: str) -> None:
    assert not is_allowed(host, frozenset({"mine.org"}))
    assert is_allowed(host, frozenset({"*"}))


def test_nothing_inline_may_run() -> None:
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'")


# --- sessions ---


def test_a_session_ends_when_nobody_uses_it_and_in_any_case() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    name = sessions.begin("ada", "pw", ())
    for _ in range(int(LONGEST // IDLE)):
        clock.now += IDLE
        assert sessions.find(name) is not None
    clock.now += 1
    assert sessions.find(name) is None
    other = sessions.begin("ada", "pw", ())
    clock.now += IDLE + 1
    assert not sessions.is_open(other)
    assert sessions.find(other) is None
    assert len(sessions) == 0


def test_there_are_only_so_many_sessions() -> None:
    sessions = Sessions(Clock())
    names = [sessions.begin("ada", "pw", ()) for _ in range(MOST)]
    assert sessions.find(names[0]) is not None  # it is used, so that the next one has to go
    sessions.begin("ada", "pw", ())
    assert [sessions.is_open(name) for name in names[:3]] == [True, False, True]


def test_tokens_are_of_one_visitor_and_one_console() -> None:
    sessions = Sessions()
    name = sessions.new_name()
    assert sessions.is_token(name, sessions.token(name))
    assert not sessions.is_token(sessions.new_name(), sessions.token(name))
    assert not Sessions().is_token(name, sessions.token(name))
    assert not sessions.is_token(name, "é")


def test_what_was_right_is_no_guess() -> None:
    guesses = Guesses(Clock())
    for _ in range(2 * GUESSES):
        guesses.begun("1.2.3.4")
        guesses.right("1.2.3.4")
    assert not guesses.too_many("1.2.3.4")


def test_guessing_is_slow() -> None:
    clock = Clock()
    guesses = Guesses(clock)
    for _ in range(GUESSES):
        assert not guesses.too_many("1.2.3.4")
        guesses.begun("1.2.3.4")
    assert guesses.too_many("1.2.3.4")
    assert not guesses.too_many("1.2.3.5")
    assert guesses.too_many("::ffff:1.2.3.4")
    clock.now += GUESSING_TIME
    assert not guesses.too_many("1.2.3.4")


@pytest.mark.parametrize(
    ("others", "another"),
    [
        ([f"127.0.{number}.7" for number in range(GUESSES)], "::1"),
        ([f"2001:db8::{number:x}:1" for number in range(GUESSES)], "2001:db8::ffff:0:2"),
        (["somewhere"] * GUESSES, "somewhere"),
    ],
)
def test_addresses_that_one_machine_has_at_will_count_as_one(others: list[str], another: str) -> None:
    guesses = Guesses(Clock())
    for address in others:
        assert not guesses.too_many(another)
        guesses.begun(address)
    assert guesses.too_many(another)
    assert not guesses.too_many("2001:db8:0:1::1")


# --- addresses ---


@pytest.mark.parametrize("name", ["order-1", "a/b", "a?b&c=d", "é ü", "#", "..", "<script>", "$all"])
def test_names_of_streams_are_quoted(name: str) -> None:
    address = Places("/console").event(name, 3)
    assert address.startswith("/console/event?stream=")
    assert not set('"<>é #') & set(address)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/other",
        "",
        "/console//x\\y",
    ],
)
def test_nobody_is_sent_out_of_the_console(target: str) -> None:
    assert Places("/console").inside(target) == "/console/"


def test_places_inside() -> None:
    assert Places("/console").inside("/console/stream?name=a") == "/console/stream?name=a"
    assert Places("").inside("/all?from=3") == "/all?from=3"
    assert Places("").inside("//evil.example/") == "/"


# --- what is asked for ---


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "9" * 19, "1" * 30, "²", "\u0661"])
def test_numbers_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="from"):
        Asked({"from": text}).number("from")


def test_pages_are_not_endless() -> None:
    assert Asked({"rows": "1000000"}).rows() == 200
    with pytest.raises(InvalidArgument):
        Asked({"rows": "0"}).rows()


def test_filters() -> None:
    assert EventChoice.of(Asked({})).filter() is None
    assert list(EventChoice.of(Asked({})).exclude) == [r"\$.*"]
    assert list(EventChoice.of(Asked({"system": "1"})).exclude) == []
    chosen = EventChoice.of(Asked({"by": "stream", "match": "prefix", "text": "order-, invoice-"}))
    assert chosen.filter() == Filter.by_stream_name(prefixes=["order-", "invoice-"])
    assert chosen.query == {"by": "stream", "match": "prefix", "text": "order-, invoice-", "system": None}
    expression = EventChoice.of(Asked({"match": "regex", "text": "^Order"}))
    assert expression.filter() == Filter.by_event_type(regex="^Order")
    for text in ("(", ",", "*"):
        with pytest.raises(InvalidArgument):
            EventChoice.of(Asked({"match": "regex" if text != "," else "prefix", "text": text})).filter()


# --- charts ---


def test_rates_are_told_by_the_second() -> None:
    history = FigureHistory()
    for at, end in ((0.0, 1000), (2.0, 3000), (4.0, 3000)):
        history.add(at, {"es-checksum": str(end), "proc-mem": "-1", "proc-startTime": "2026-01-01"})
    line = history.rate("Log", "rate", "es-checksum")
    assert (line.now, line.most) == (0.0, 2000.0)
    assert line.line == "280.0,33.0 300.0,64.0"
    assert line.area == "280.0,64 280.0,33.0 300.0,64.0 300.0,64"
    assert history.chart("Memory", lambda sample: sample.get("proc-mem"), "size").now is None


def test_old_figures_are_forgotten() -> None:
    history = FigureHistory()
    for at in range(2000):
        history.add(float(at), {"proc-mem": "1"})
    assert len(history._samples) <= 312


def test_a_chart_has_no_more_than_its_width() -> None:
    line = chart("a", [(float(at), 1.0) for at in range(0, 700, 10)], "number").line
    places = [float(point.partition(",")[0]) for point in line.split()]
    assert min(places) >= 0
    assert max(places) == 300.0


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.4, 1), (1, 1), (3, 5), (7, 10), (99, 100), (120, 200), (501, 1000)]
)
def test_tops_of_charts(value: float, top: float) -> None:
    assert nice(value) == top


# --- how values are written ---


def test_values_for_people() -> None:
    assert [number(value) for value in (None, 1234, 1234.56)] == ["\N{EN DASH}", "1,234", "1,234.6"]
    assert [size(value) for value in (None, 0, 999, 1234, 123_456_789, 2e15)] == [
        "\N{EN DASH}", "0 B", "999 B", "1.2 KB", "123 MB", "2.0 PB",
    ]  # fmt: skip
    assert [duration(timedelta(seconds=value)) for value in (0.25, 30, 3600, 90061)] == [
        "250 ms",
        "30 s",
        "1 h",
        "1 d 1 h",
    ]
    assert duration(None) == "\N{EN DASH}"
