"""What a group gets when it is created or updated: its settings, where it starts, and which of them are refused.

Owns: the settings of a group, the names of the strategies, start points, the checks of Create and Update with the
reasons that a real server gives (sections 18.1 and 18.2 of the protocol notes), and the text forms of positions.
Must not know: requests, streams of events, time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from esdb_lite._log_positions import commit_and_prepare, log_position
from esdb_lite.groups import ConsumerStrategy

INT32, INT64 = range(-(2**31), 2**31), range(-(2**63), 2**63)
"""What numbers of settings and positions can be."""
INFINITE_MILLISECONDS = 2**31 - 1
"""What a real server reports for a `checkpoint_after` of 0."""

PAGE_WITHOUT_BATCH = 10
"""How many events are read at once when the batch size says nothing sensible."""
LARGEST_PAGE = 500
"""A real server does not read more at once, whatever the batch size is."""


class InvalidSettings(ValueError):
    """The settings are refused; the text is the reason that goes to the client."""


@dataclass(frozen=True)
class GroupStart:
    """Where a group begins: a revision of its stream or a position in the log, inclusive."""

    position: int = 0
    """Revision, or commit position for `$all`; -1 = only what is committed after the group was created."""
    prepare: int | None = None
    """The prepare position that was given with a commit position, for reporting only."""

    @property
    def is_end(self) -> bool:
        """Whether the group begins with what is committed after its creation."""
        return self.position == -1


@dataclass(frozen=True)
class GroupSettings:
    """The settings of one group, as given. Times are milliseconds."""

    resolve_links: bool = False
    extra_statistics: bool = False
    start: GroupStart = GroupStart()
    message_timeout: int = 30_000
    max_retry_count: int = 10
    checkpoint_after: int = 2_000
    """0 = infinite: only `max_checkpoint_count` makes the group write checkpoints."""
    min_checkpoint_count: int = 10
    max_checkpoint_count: int = 1_000
    max_subscriber_count: int = 0
    """0 = unlimited."""
    live_buffer_size: int = 500
    read_batch_size: int = 20
    history_buffer_size: int = 500
    strategy: ConsumerStrategy = ConsumerStrategy.ROUND_ROBIN

    @property
    def history_room(self) -> int:
        """How many events may wait in the buffer; at least one more than a batch, whatever was given."""
        return max(self.history_buffer_size, self.batch + 1)

    @property
    def batch(self) -> int:
        """How much room there must be before the next page is read."""
        return max(self.read_batch_size, 0)

    @property
    def page(self) -> int:
        """How many events are read at once when there is room for them."""
        return min(self.read_batch_size, LARGEST_PAGE) if self.read_batch_size > 0 else PAGE_WITHOUT_BATCH


def strategy_of(name: str) -> ConsumerStrategy:
    """Return the strategy of that name (case-sensitive); raise `InvalidSettings` if there is none."""
    try:
        return ConsumerStrategy(name)
    except ValueError:
        raise InvalidSettings(f"Consumer strategy {name} does not exist.") from None


def check_start_in_log(start: GroupStart, last_position: int) -> None:
    """Refuse a position in the log (for `$all`) beyond the last event."""
    if start.position > last_position:
        raise InvalidSettings(
            "Invalid Start From position: commit position must be less than or equal to the last commit position "
            "in the transaction file."
        )


def check_buffers(read_batch_size: int, history_buffer_size: int) -> None:
    """Refuse a batch that does not fit into the history buffer."""
    if read_batch_size >= history_buffer_size:
        raise InvalidSettings(
            "Specified argument was out of the range of valid values. "
            "(Parameter 'ReadBatchSize may not be greater than or equal to BufferSize')"
        )


def check_stop_at(stop_at: int) -> None:
    """Refuse to replay parked messages up to a negative number."""
    if stop_at < 0:
        raise InvalidSettings("Cannot stop replaying parked message at a negative version.")


def check_truncation(stop_at: int) -> None:
    """Refuse to truncate parked messages up to a negative number."""
    if stop_at < 0:
        raise InvalidSettings("Cannot truncate parked messages at a negative version.")


_REVISION = re.compile(r"-?\d{1,19}", re.ASCII)


def position_text(position: int, *, in_log: bool, prepare: int | None = None) -> str:
    """Write a position as checkpoints, the configuration and GetInfo do: `5`, or `C:100/P:100` for `$all`."""
    return log_position(position, prepare) if in_log else str(position)


def parse_position(text: str) -> GroupStart:
    """Read what `position_text` wrote; raise ValueError for anything else."""
    found = commit_and_prepare(text)
    if found is None and _REVISION.fullmatch(text):
        found = int(text), int(text)
    if found is None or any(position not in INT64 for position in found):
        raise ValueError("it is no position")
    commit, prepare = found
    return GroupStart(commit, None if prepare == commit else prepare)
