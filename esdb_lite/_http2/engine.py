"""h2's connection, with three rules of its own for what comes when something has ended.

Owns: that a GOAWAY does not end the connection here, that a stream which is closed is reset no more, and asking how a
stream was closed. Must not know: sockets, grpclib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.connection import H2Connection
from h2.stream import StreamClosedBy
from hyperframe.frame import RstStreamFrame

if TYPE_CHECKING:
    from h2.errors import ErrorCodes
    from h2.events import Event
    from hyperframe.frame import Frame, GoAwayFrame


class Http2Engine(H2Connection):
    """Frames in and out."""

    _resetting = False

    def was_reset_here(self, stream_id: int) -> bool:
        """True for a stream that we have reset: its peer may not know yet, and what it sends is for nobody."""
        return self._stream_closed_by(stream_id) is StreamClosedBy.SEND_RST_STREAM

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        """A GOAWAY ends nothing yet: streams up to the one that it names go on (RFC 9113, section 6.8).

        h2 takes the connection for closed, and throws away what waits to be sent.
        """
        state, unsent = self.state_machine.state, bytes(self._data_to_send)
        frames, events = super()._receive_goaway_frame(frame)
        self.state_machine.state = state
        self._data_to_send = bytearray(unsent)
        return frames, events

    def reset_stream(self, stream_id: int, error_code: ErrorCodes | int = 0) -> None:
        """Reset a stream."""
        self._resetting = True
        try:
            super().reset_stream(stream_id, error_code)
        finally:
            self._resetting = False

    def _prepare_for_sending(self, frames: list[Frame]) -> None:
        """Reset no stream twice (RFC 9113, section 5.4.2): h2 answers each frame of one that was reset with a reset."""
        if frames and frames[-1].__class__ is RstStreamFrame and not self._resetting:
            frames = [frame for frame in frames if not self._says_again(frame)]
        super()._prepare_for_sending(frames)

    def _says_again(self, frame: Frame) -> bool:
        return isinstance(frame, RstStreamFrame) and self._stream_closed_by(frame.stream_id) is not None
