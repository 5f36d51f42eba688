"""What is said of a projection's state: the words of the real server.

Owns: the texts and how they come together from what a projection was told and what became of it (sections 4.6 and 4.7
of the notes on projections). Must not know: how projections are run.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Work(enum.Enum):
    """What has become of a projection since it was started."""

    GOING_ON = "Running"
    FAILED = "Faulted"
    """An event could not be handled."""
    UNREADABLE = "Unreadable"
    """The query is wrong."""
    DONE = "Completed"
    """It came to the end of the log and was to go no further."""


class Halt(enum.Enum):
    """How a projection was stopped."""

    NONE = "Running"
    WITH_CHECKPOINT = "Stopped"
    ABORTED = "Aborted"


@dataclass(frozen=True)
class Condition:
    """What a projection was told, and what became of it."""

    halt: Halt = Halt.NONE
    work: Work = Work.GOING_ON
    updated: bool = False
    """Whether a wrong query has replaced one that ran."""

    @property
    def runs(self) -> bool:
        """Whether there is something at work."""
        return self.halt is Halt.NONE and self.work is Work.GOING_ON

    @property
    def text(self) -> str:
        """The status that statistics show."""
        if self.work is Work.UNREADABLE:
            return "Faulted/Stopped (Enabled)" if self.updated and self.halt is Halt.NONE else "Faulted"
        if self.halt is Halt.NONE:
            return _ENABLED[self.work]
        if self.work is Work.DONE:
            return "Stopped/Writing results"
        if self.work is Work.FAILED:
            return "Stopped/Faulted" if self.halt is Halt.WITH_CHECKPOINT else "Faulted"
        return "Stopped" if self.halt is Halt.WITH_CHECKPOINT else "Aborted/Stopped"

    def may_be_deleted(self, *, transient: bool) -> bool:
        """Whether the server lets go of it: not while it runs, nor while something of it may be unwritten."""
        if transient or self.work in (Work.FAILED, Work.UNREADABLE):
            return True
        return self.halt is Halt.WITH_CHECKPOINT or (self.halt is Halt.ABORTED and self.work is Work.DONE)


_ENABLED = {
    Work.GOING_ON: "Running",
    Work.FAILED: "Faulted (Enabled)",
    Work.DONE: "Completed/Stopped/Writing results",
}
