"""What a consumer does, one step after another, without doing it.

Owns: the order of loading, handling and storing, and what follows from a failure. Pure: it yields calls, which a
driver makes (and awaits, with asyncio) and whose results and exceptions it gets back; so both clients behave alike.
Must not know: event loops, threads, how positions are kept.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from esdb_lite.checkpoints.positions import to_text
from esdb_lite.checkpoints.store import StoreBusy
from esdb_lite.client.consumers.tracking import HandledPart, Item, Tracker, parts
from esdb_lite.client.failures import log_failure, note_on
from esdb_lite.consumers import BatchHandlerError, ConsumerPosition, ErrorAction, HandlerError
from esdb_lite.errors import CheckpointCorrupt, CheckpointError, CheckpointMismatch, InvalidPosition, WrongArgumentType
from esdb_lite.events import Checkpoint

_log = logging.getLogger("esdb_lite.client")

LONGEST_PAUSE = 60.0
"""Seconds between attempts; the pause is doubled up to this."""

_MOST_DOUBLINGS = 100
"""More than it takes to get from any pause to the longest one; numbers must not grow for ever."""

_BUSY_SECONDS, _BUSY_PAUSE = 60.0, 0.02
"""How long others may be in the middle of their transactions before this is a failure, and between looks."""

Step = Callable[[], object]
Steps = Generator[Step, Any, None]


class _Stopped(Exception):
    """The consumer is to end before the handler was called."""


class ConsumerSource(Protocol):
    """Where events come from. What its methods return may have to be awaited."""

    @property
    def stopping(self) -> bool:
        """Whether the consumer is to end."""
        ...

    def open(self, position: ConsumerPosition | None) -> object:
        """Subscribe after a position."""

    def next(self, timeout: float | None) -> object:
        """Return what has arrived; [] after so many seconds, and when the consumer is to end."""

    def known_end(self) -> object:
        """Return the last position of the stream, as far as it is known."""

    def pause(self, seconds: float) -> object:
        """Wait, unless the consumer is to end."""


class Store:
    """The store of a consumer, whatever it can do."""

    def __init__(self, load: Callable[[], object], save: Callable[[ConsumerPosition], object], store: object) -> None:
        self.itself = store
        self.load = load
        self.save = save
        self.bind: Callable[[str], object] | None = getattr(store, "bind", None)
        self.claim: Callable[[], object] | None = getattr(store, "claim", None)
        self.begin: Callable[[], object] | None = getattr(store, "begin", None)
        self.forget: Callable[[], object] | None = getattr(store, "forget", None)
        self.rollback: Callable[[], object] | None = getattr(store, "rollback", None)
        self.release: Callable[[], object] | None = getattr(store, "release", None)

    def wrap(self, around: Callable[[Callable[..., object]], Callable[..., object]]) -> None:
        """Have something done around each of its functions that may take its time."""
        self.load, self.save = around(self.load), around(self.save)
        self.begin = None if self.begin is None else around(self.begin)
        self.forget = None if self.forget is None else around(self.forget)
        self.rollback = None if self.rollback is None else around(self.rollback)

    @property
    def transactional(self) -> bool:
        """Whether a handler takes part in the store's transactions."""
        return self.rollback is not None


@dataclass(frozen=True)
class ConsumptionOptions:
    """How a consumer behaves."""

    source: str
    """What is consumed, as stores know it."""
    of_stream: bool
    batch_size: int
    checkpoint_every: int | None
    checkpoint_interval: float | None
    on_error: HandlerError | BatchHandlerError | None
    retry_pause: float


class Consumption:
    """One run of a consumer."""

    def __init__(
        self,
        options: ConsumptionOptions,
        store: Store,
        handler: Callable[[Any], object],
        source: ConsumerSource,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._store = store
        self._handler = handler
        self._source = source
        self._clock = clock
        self._bound = False
        self._saving = False
        self._attempting = False
        self.until_caught_up = False
        """Whether to end when everything that is stored was handled."""
        self.moved: Callable[[], object] = _nobody
        """Called when the position has moved, and at the end."""
        self.failure: BaseException | None = None
        """What the consumer has failed with; to be raised as it is when the steps have ended."""
        self.tracker = Tracker(
            of_stream=options.of_stream,
            every=options.checkpoint_every,
            interval=options.checkpoint_interval,
            now=clock(),
        )

    def __str__(self) -> str:
        """What is consumed, and how far it has come."""
        at = "" if self.tracker.position is None else f", at {to_text(self.tracker.position).partition('@')[0]}"
        return f"of {self._options.source}{at}"

    def steps(self) -> Steps:
        """Everything to do."""
        try:
            yield from self._begin()
            yield from self._consume()
        except GeneratorExit:  # nobody is there to make the calls
            raise
        except _Stopped:
            pass
        except BaseException as error:
            self.failure = error
        if self._may_save():
            try:
                yield from self._save()
            except _Stopped:
                pass  # others write, and nobody waits for them any more: it is found again where it was
            except Exception as error:
                self.failure = error if self.failure is None else self.failure
        _log.info("consumer %s: ended", self)

    def rebuilding(self, clear: Callable[[], object] | None) -> Steps:
        """Forget the position, together with what `clear` undoes where the store has transactions."""
        if self._store.bind is not None:
            yield partial(self._store.bind, self._options.source)
        self._bound = True
        with suppress(CheckpointCorrupt):
            yield self._store.load
        self._attempting = True
        yield from self._when_free(self._store.begin)
        if clear is not None:
            yield clear
        assert self._store.forget is not None
        yield self._store.forget
        self._attempting = False

    def end(self) -> list[Step]:
        """Return what to call when the steps have ended, in whatever way, so that the store is released.

        `not_let_go` logs what these calls raise: the consumer already has its reason to end.
        """
        last: list[Step] = []
        if (self._attempting or self._saving) and self._store.rollback is not None:
            last.append(self._store.rollback)
        if self._bound and self._store.release is not None:
            last.append(self._store.release)
        self._attempting = self._saving = self._bound = False
        return last

    # --- inside ---

    def _begin(self) -> Steps:
        if self._store.bind is not None:
            yield partial(self._store.bind, self._options.source)
        self._bound = True
        self._attempting = self._store.claim is not None
        yield from self._when_free(self._store.claim)
        position = checked_position((yield self._store.load), of_stream=self._options.of_stream)
        self._attempting = False
        self.tracker.loaded(position, self._clock())
        _log.info("consumer %s: begins", self)

    def _asked(self, step: Step) -> Generator[Step, Any, Any]:
        """What the server says. Raises CheckpointMismatch where no event begins at the position."""
        try:
            return (yield step)
        except InvalidPosition as error:
            position = self.tracker.position
            if position is None:
                raise
            raise CheckpointMismatch(f"no event begins where the checkpoint is: {to_text(position)}") from error

    def _consume(self) -> Steps:
        if self._source.stopping:
            return
        yield from self._asked(partial(self._source.open, self.tracker.position))
        if self._options.of_stream and not self._source.stopping:
            self.tracker.known_end((yield self._source.known_end))
        while not self._source.stopping:
            step = partial(self._source.next, self.tracker.due_in(self._clock()))
            items: Sequence[Item] = yield from self._asked(step)
            self.tracker.fetched(items)
            for part in parts(items, self._options.batch_size, of_stream=self._options.of_stream):
                if self._source.stopping:
                    return
                yield from self._take(part)
                self.moved()
                if self.until_caught_up and self.tracker.caught_up:
                    return

    def _take(self, part: HandledPart) -> Steps:
        if part.events and not (yield from self._handle(part)):
            return
        self.tracker.handled(part, self._clock())
        if self.tracker.due(self._clock()):
            yield from self._save()

    def _handle(self, part: HandledPart) -> Generator[Step, Any, bool]:
        """Have events handled; False when the consumer was stopped before they were."""
        attempts = 0
        while True:
            attempts += 1
            try:
                yield from self._attempt(part)
            except GeneratorExit:
                raise
            except _Stopped:
                self._attempting = False
                return False
            except BaseException as error:
                yield from self._undo(error)
                action = self._decide(part, error, attempts)
            else:
                return True
            if action is ErrorAction.SKIP:
                return True
            yield partial(self._source.pause, pause_before(attempts, self._options.retry_pause))
            if self._source.stopping:
                return False

    def _attempt(self, part: HandledPart) -> Steps:
        """Call the handler, and commit where it takes part in a transaction: that may fail like itself."""
        self._attempting = True  # until it is known what has become of it: Ctrl-C may come in between
        yield from self._when_free(self._store.begin)
        yield partial(self._handler, self._handed(part))
        if self._store.transactional and part.position is not None:
            yield partial(self._store.save, part.position)
            self.tracker.saved(part.position, self._clock())
        self._attempting = False

    def _when_free(self, begin: Step | None) -> Steps:
        """Begin a transaction when others are done with theirs. Raises _Stopped."""
        ends_at = self._clock() + _BUSY_SECONDS
        while begin is not None:
            try:
                yield begin
                return
            except StoreBusy as busy:
                if self._clock() > ends_at:
                    raise busy.__cause__ or busy from None
            if self._source.stopping:
                raise _Stopped
            yield partial(self._source.pause, random.uniform(0, _BUSY_PAUSE))

    def _undo(self, error: BaseException) -> Steps:
        """Roll back; where that fails, too, nothing is safe but to end with the first error."""
        if self._store.rollback is not None:
            self._attempting = False
            try:
                yield self._store.rollback
            except Exception as second:
                _log.warning("rollback failed: %s", type(second).__name__)
                raise error from None

    def _decide(self, part: HandledPart, error: BaseException, attempts: int) -> ErrorAction:
        """Return what follows from a failure; raises it where that is the end."""
        note_on(error, part.events)
        decide: Callable[[Any, Exception, int], ErrorAction] | None = self._options.on_error
        if decide is None or not isinstance(error, Exception) or isinstance(error, CheckpointError):
            raise error
        action = decide(self._handed(part), error, attempts)
        if not isinstance(action, ErrorAction):
            raise WrongArgumentType("on_error", action, "must return an ErrorAction") from error
        if action is ErrorAction.STOP:
            raise error
        log_failure(self._options.source, part.events, error, attempts, action.value)
        return action

    def _handed(self, part: HandledPart) -> object:
        return part.events[0] if self._options.batch_size == 1 else list(part.events)

    def _may_save(self) -> bool:
        """After the end: True where there is something to store, and nothing speaks against it.

        Cancelling must be quick, and a store that failed is not asked again.
        """
        if not self._bound or self._saving or isinstance(self.failure, CheckpointError):
            return False
        return self.tracker.unsaved and (self.failure is None or isinstance(self.failure, Exception))

    def _save(self) -> Steps:
        position = self.tracker.position
        assert position is not None
        self._saving = True  # stays so where it fails: it is not tried again
        yield from self._when_free(self._store.claim)
        yield partial(self._store.save, position)
        self._saving = False
        self.tracker.saved(position, self._clock())


def _nobody() -> None:
    """What is done where nobody waits."""


def pause_before(attempts: int, first: float) -> float:
    """Return the seconds between the last of so many attempts and the next one."""
    return min(first * 2.0 ** min(attempts - 1, _MOST_DOUBLINGS), LONGEST_PAUSE)


def not_let_go(error: Exception) -> None:
    """Say that a store has failed at the very end."""
    _log.warning("releasing a checkpoint store failed: %s", type(error).__name__)


def checked_position(value: object, *, of_stream: bool) -> ConsumerPosition | None:
    """What a store has loaded."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, Checkpoint)):
        raise WrongArgumentType("checkpoint", value, "must load an int, a Checkpoint or None")
    if of_stream and isinstance(value, Checkpoint):
        raise CheckpointMismatch(f"the checkpoint is a position in all events, not in a stream: {value}")
    return value
