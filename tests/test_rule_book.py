"""The rule book is complete: every section that a docstring cites exists in `proto/`, and is cited in one form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

import esdb_lite

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "proto"
PAGES = {
    "the protocol notes": "README.md",
    "the notes on clusters": "clusters.md",
    "the notes on projections": "projections.md",
    "the notes on KurrentDB": "kurrentdb.md",
    "the notes on the schema": "schema.md",
}
FOLDERS = (Path(esdb_lite.__file__).resolve().parent, ROOT / "proto", ROOT / "tests")
SOURCES = sorted(chain.from_iterable(folder.rglob("*.py") for folder in FOLDERS))

NUMBER = r"(?:[AB]\.)?\d+(?:\.\d+)?"
MENTION = re.compile(rf"(?<!RFC \d\d\d\d, )\b[Ss]ections? (?={NUMBER})")
CITATION = re.compile(
    rf"(?:[Ss]ection {NUMBER}|[Ss]ections {NUMBER}(?:, {NUMBER})* (?:and|to) {NUMBER}) of"
    rf" (?:{'|'.join(PAGES)})\b"
)
HEADING = re.compile(rf"^##+ ({NUMBER})\.? ", re.MULTILINE)
# A citation may go on in the next line, also in that of a comment.
LINE_END = re.compile(r"\s*\n\s*(?:# )?")


def sections(page: str) -> set[str]:
    """The numbers of the sections of a page."""
    return set(HEADING.findall((BOOK / page).read_text("utf-8")))


def mentions(text: str) -> Iterator[str]:
    """What stands where a section is named, to the end of the form that it should have."""
    text = LINE_END.sub(" ", text)
    for start in MENTION.finditer(text):
        citation = CITATION.match(text, start.start())
        yield citation[0] if citation else text[start.start() : start.start() + 60]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(section 7 of the protocol notes)", ["section 7 of the protocol notes"]),
        ("sections 18.1 and\n18.2 of the protocol\n# notes", ["sections 18.1 and 18.2 of the protocol notes"]),
        ("Section B.3 of the notes on KurrentDB", ["Section B.3 of the notes on KurrentDB"]),
        ("section 3 of the notes about clusters", ["section 3 of the notes about clusters"]),
        ("a section of the page", []),
        ("RFC 9113, section 6.8", []),
    ],
)
def test_mentions(text: str, found: list[str]) -> None:
    assert list(mentions(text)) == found


def test_citations_have_one_form() -> None:
    wrong = [
        f"{source.name}: {mention}"
        for source in SOURCES
        if source != Path(__file__).resolve()
        for mention in mentions(source.read_text("utf-8"))
        if not CITATION.fullmatch(mention)
    ]
    assert not wrong, 'cite as "section 7 of the protocol notes" (the forms are in proto/README.md)'


def test_cited_sections_exist() -> None:
    known = {title: sections(page) for title, page in PAGES.items()}
    cited = [
        (mention, mention.partition(" of ")[2], re.findall(NUMBER, mention.partition(" of ")[0]))
        for source in SOURCES
        if source != Path(__file__).resolve()
        for mention in mentions(source.read_text("utf-8"))
        if CITATION.fullmatch(mention)
    ]
    assert len(cited) > 20
    assert [mention for mention, title, numbers in cited if not known[title].issuperset(numbers)] == []


@pytest.mark.parametrize("page", PAGES.values())
def test_references_within_the_book(page: str) -> None:
    """§7 is a section of the same page, unless it says whose; links lead to pages that exist."""
    text = (BOOK / page).read_text("utf-8")
    here, front = sections(page), sections("README.md")
    elsewhere = re.findall(rf"protocol notes §({NUMBER})|§({NUMBER}) of \[the protocol notes\]", text)
    assert {number for pair in elsewhere for number in pair if number} <= front
    rest = re.sub(rf"(?:protocol notes )§{NUMBER}|§{NUMBER} of (?:\[the protocol notes\]|the protocol notes)", "", text)
    assert set(re.findall(rf"§({NUMBER})", rest)) <= here
    for number, target in re.findall(rf"section ({NUMBER}) of \[[^]]*\]\((\w+\.md)\)", text):
        assert number in sections(target)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (BOOK / target).exists(), target


@pytest.mark.parametrize("page", PAGES.values())
def test_contents_list_every_section(page: str) -> None:
    text = (BOOK / page).read_text("utf-8")
    top = [heading for heading in re.findall(r"^## (.+)$", text, re.MULTILINE) if heading[0].isdigit()]
    anchors = re.findall(r"\]\(#([^)]+)\)", text)
    for heading in top:
        assert re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") in anchors


@pytest.mark.parametrize("page", ["README.md", "clusters.md"])
def test_named_recordings_exist(page: str) -> None:
    text = (BOOK / page).read_text("utf-8")
    named = re.findall(r"\(recorded: ([^);]+)|^Recorded: (.+)\.$", text, re.MULTILINE)
    names = {name.strip() for pair in named for group in pair for name in group.split(",") if group}
    assert len(names) > 5
    recorded = {path.stem for path in (ROOT / "tests" / "goldens").rglob("*.json")}
    pattern = {name.removesuffix("…").removesuffix("*") for name in names if name.endswith(("…", "*"))}
    missing = {name for name in names if name.rpartition("/")[2] not in recorded} - {"NAME"}
    assert {name for name in missing if not any(name.startswith(start) for start in pattern)} == set()
