"""The figures of a soak, as text.

Owns: the layout. Must not know: how figures come about.
"""

from __future__ import annotations

from statistics import median

from tests.benchmarks.soaking.running import Soak


def lines(soak: Soak) -> list[str]:
    """The whole report of one soak."""
    return [*_written(soak), *_read(soak), *_seen(soak), *_groups(soak), *_faults(soak), *_resources(soak)]


def _written(soak: Soak) -> list[str]:
    outcome, books = soak.outcome, soak.world.ledger.books.values()
    started, appends = sum(book.started for book in books), sum(book.appends for book in books)
    acknowledged = sum(book.acknowledged for book in books)
    longest = max(books, key=lambda book: book.longest)
    return [
        f"\n{outcome.mode}: {outcome.seconds:.0f} s, {sum(outcome.faults.values())} faults",
        f"  events appended {started:,} in {appends:,} appends, acknowledged {acknowledged:,}, "
        f"stored {outcome.stored:,}, doubled {outcome.doubled}, lost {outcome.lost}",
        f"  appends repeated by the caller: {sum(book.unknown for book in books)} outcome unknown, "
        f"{sum(book.failed for book in books)} not done; the slowest took {longest.longest:.1f} s ({longest.name})",
        "  happened: " + ", ".join(f"{name} {count}" for name, count in sorted(soak.world.ledger.events.items())),
    ]


def _read(soak: Soak) -> list[str]:
    readers, visitors = soak.readers, soak.visitors
    return [
        f"  reads {sum(each.reads for each in readers):,} of {sum(each.events for each in readers):,} events, "
        f"{sum(each.late for each in readers)} too late for their timeouts; "
        f"the slowest took {max(each.longest for each in readers):.1f} s",
        f"  visits {sum(each.visits for each in visitors):,}, {sum(each.turned_away for each in visitors)} "
        f"turned away; the slowest took {max(each.slowest for each in visitors):.1f} s to leave",
    ]


def _seen(soak: Soak) -> list[str]:
    found = [f"  {'subscriber':52}{'seen':>9}{'missing':>9}{'doubled':>9}{'disorder':>9}"]
    for each in soak.subscribers:
        if (seen := each.sequence) is not None:
            found.append(f"  {each.name:52}{seen.seen:9,}{seen.missing:9}{seen.doubled:9}{seen.disordered:9}")
    return [*found, f"  all had seen everything {soak.outcome.settling:.1f} s after the last append"]


def _groups(soak: Soak) -> list[str]:
    found = [f"  {'group':52}{'done':>9}{'missing':>9}{'again':>9}{'refused':>9}{'parked':>9}"]
    for group in soak.groups:
        tally = group.tally
        found.append(
            f"  {group.name:52}{tally.processed:9,}{tally.missing:9}{tally.again:9}{tally.refused:9}{tally.parked:9}"
        )
    return found


def _faults(soak: Soak) -> list[str]:
    title = f"  {'healing, seconds: median (worst)':40}{'times':>6}{'writing':>16}{'subscribing':>16}{'consuming':>16}"
    found = [title]
    for name, healed in sorted(soak.healing.times.items()):
        columns = [_middle(times) for times in (healed.writing, healed.subscribing, healed.consuming)]
        found.append(f"  {name:40}{len(healed.writing):6}" + "".join(f"{column:>16}" for column in columns))
    doubles = sum(soak.outcome.faults.values()) - sum(
        len(each.writing) for name, each in soak.healing.times.items() if name in soak.outcome.faults
    )
    return [*found, f"  ({doubles} of the faults came two at a time)"]


def _middle(times: list[float]) -> str:
    return f"{median(times):.2f} ({max(times):.2f})" if times else "-"


def _resources(soak: Soak) -> list[str]:
    gauge = soak.gauge
    grown = ", ".join(f"{name} {warm} -> {end}" for name, (warm, end) in gauge.grown.items())
    step = max(1, len(gauge.seen) // 12)
    return [
        f"  resident memory, MB: {gauge.warm:.0f} after warm-up, {gauge.peak:.0f} at most, {gauge.last:.0f} at the end "
        f"(in between: {' '.join(f'{each:.0f}' for each in gauge.seen[::step])})",
        f"  objects that there are more of than after the warm-up: {grown or 'none'}",
    ]
