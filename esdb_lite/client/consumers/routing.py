"""Functions for events by type.

Owns: `EventRoutes`, which both kinds of consumers have. Must not know: how events come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from esdb_lite._event_fields import checked_type
from esdb_lite.errors import InvalidArgument, WrongArgumentType

if TYPE_CHECKING:
    from esdb_lite.client.consumers.settings import ConsumerSettings
    from esdb_lite.event_types.registry import EventTypes
    from esdb_lite.events import RecordedEvent

F = TypeVar("F", bound=Callable[..., object])


class EventRoutes:
    """Which function handles which type of event. Calling it handles an event."""

    def __init__(
        self, handler: Callable[[Any], Any] | None, types: EventTypes | None, nothing: Callable[[], Any]
    ) -> None:
        """`handler` gets what no function is for; `nothing` is done with what nobody wants."""
        self._handler = handler
        self._types = types
        self._nothing = nothing
        self.last: object = handler
        """The function that was called last."""
        self._routes: dict[str, tuple[Callable[[Any], Any], bool]] = {}

    def __bool__(self) -> bool:
        return self._handler is not None or bool(self._routes)

    def __call__(self, events: Any) -> Any:
        function, by_value = self._handler, False
        if self._routes:
            event: RecordedEvent = events
            function, by_value = self._routes.get(event.type, (self._handler, False))
        self.last = function
        if function is None:
            return self._nothing()
        return function(events.value if by_value else events)

    def add(self, what: str | type, function: F) -> F:
        """Have a function handle a type of event. Raises InvalidArgument, WrongArgumentType."""
        if not callable(function):
            raise WrongArgumentType("function", function, "must be a function")
        if isinstance(what, type):
            if self._types is None:
                raise InvalidArgument("what", what, "must be the name of a type: the client has no event_types")
            names = self._types.types_of(what)
        else:
            names = [checked_type(what)]
        for name in names:
            if name in self._routes:
                reason = f"must be a type without a function: {name} has {self._routes[name][0]!r}"
                raise InvalidArgument("what", what, reason)
            self._routes[name] = function, isinstance(what, type)
        return function


def checked_routes(settings: ConsumerSettings) -> None:
    """Refuse functions by type for a consumer of batches. Raises InvalidArgument."""
    if settings.options.batch_size > 1:
        raise InvalidArgument("batch_size", settings.options.batch_size, "must be 1 for functions by type")


def checked_routed(routes: EventRoutes) -> None:
    """Refuse a consumer that does nothing. Raises WrongArgumentType."""
    if not routes:
        raise WrongArgumentType("handler", None, "must be given, or functions by type with `consumer.on(...)`")
