"""What people see: aligned, in colours, and harmless."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from esdb_lite import RecordedEvent
from esdb_lite.cli.events import print_event
from esdb_lite.cli.terminal import Output, ProgressLine, as_json, rich_console, shown

EVIL = "a\x1b[31m\nb\x9b2J\u202ec\x00\ud800"


class Terminal(io.StringIO):
    """Something that says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def harmless(text: str) -> bool:
    return not {"\x1b", "\x9b", "\u202e", "\x00", "\ud800"} & set(text)


def test_texts() -> None:
    assert shown(EVIL) == "a\\u001b[31m\\u000ab\\u009b2J\\u202ec\\u0000\\ud800"
    assert harmless(as_json({"x": EVIL}))
    assert as_json({"é": "日本"}) == '{"é":"日本"}'


def test_an_event(terminal: Terminal) -> None:
    link = RecordedEvent("$>", b"", b"", "links", 7, None)
    event = RecordedEvent("Pl\x1baced", b'{"a": "\\u001b[2J"}', b"\xff", "order\n-1", 3, 9, link=link)
    print_event(Output(terminal), event)
    line = terminal.getvalue()
    assert line.count("\n") == 1
    assert "\x1b[36m3@order\\u000a-1\x1b[0m" in line
    assert "7@links" in line
    assert "\\u001b[2J" in line
    plain = line
    for code in ("\x1b[2m", "\x1b[32m", "\x1b[36m", "\x1b[0m"):
        plain = plain.replace(code, "")
    assert harmless(plain)


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
def test_without_colours(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "dumb")
    assert Output(terminal).styled("x", "red") == "x"


def test_tables_without_rich(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert rich_console(terminal) is None
    Output(terminal).table(("name", "in_flight"), [("a", 5), (EVIL, None)])
    first, second, third = terminal.getvalue().splitlines()
    assert first.index("in flight") == second.index("5") == third.rindex("-")
    assert harmless(third)


def test_tables_with_rich(terminal: Terminal) -> None:
    pytest.importorskip("rich")
    Output(terminal).table(("name", "number"), [("[red]a[/red]", 5), (EVIL, 6)])
    text = terminal.getvalue()
    assert "[red]a[/red]" in text
    assert not {"\x9b", "\u202e", "\x00"} & set(text)


def test_records(terminal: Terminal) -> None:
    Output(terminal).record({"yes": True, "nothing": None, "part": 0.25, "list": ["a"]})
    lines = terminal.getvalue().splitlines()
    assert [line.split()[-1] for line in lines] == ["yes", "-", "0.2", '["a"]']


def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shows in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", stream)
        progress: Any = ProgressLine("reading")
        progress.at(1000, 25.0)
        progress.clear()
        assert ("1,000 events" in stream.getvalue()) == shows
        assert ("[#####...............]  25 %" in stream.getvalue()) == shows
