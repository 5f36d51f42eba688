"""What this room knows of the insides of grpclib and h2: one list, which a test holds against what is installed.

Owns: the names, and the decision whether the short way of `protocol` may be taken with the h2 that is installed. Must
not know: what they are used for.

Neither library promises any of these names (grpclib documents `Peer` alone of its `protocol`). To use another
one adds it here. Where one that the short way needs is missing, every frame goes through h2; the others are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from h2.config import H2Configuration
from h2.connection import H2Connection, _decode_headers
from h2.stream import H2Stream

GRPCLIB: Mapping[str, str] = {
    "H2Protocol": "config connection connection_lost connection_made data_received h2_config handler pause_writing "
    "processor resume_writing",
    "Connection": "_connection _transport ack close create_stream data_received data_sent data_send_process feed flush "
    "headers_send_process is_closing last_data_received pause_writing resume_writing streams_failed write_ready",
    "EventsProcessor": "close connection handler process process_connection_terminated process_data_received "
    "process_remote_settings_changed process_response_received "
    "process_stream_ended process_stream_reset processors register streams",
    "Stream": "_h2_connection buffer closable connection data_received data_sent headers headers_received id "
    "init_stream reset_nowait send_headers trailers window_updated",
    "Buffer": "_eof _unacked add eof unacked_size",
}
"""Of grpclib, by class."""

H2_SHORT_WAY: Mapping[str, str] = {
    "H2Connection": "_begin_new_stream _closed_streams _data_to_send _inbound_flow_control_window_manager "
    "_terminate_connection "
    "data_to_send decoder encoder highest_inbound_stream_id highest_outbound_stream_id incoming_buffer local_settings "
    "max_inbound_frame_size "
    "max_outbound_frame_size outbound_flow_control_window remote_settings state_machine streams",
    "H2Stream": "_expected_content_length _inbound_window_manager outbound_flow_control_window receive_headers "
    "request_method state_machine",
    "FrameBuffer": "_headers_buffer",
    "H2StreamStateMachine": "client headers_received headers_sent state stream_closed_by trailers_received "
    "trailers_sent",
    "WindowManager": "window_consumed",
    "Encoder": "encode header_table",
    "HeaderTable": "dynamic_entries maxsize resized",
}
"""Of h2, by class, for the short way."""

H2: Mapping[str, str] = {
    "H2Connection": "_prepare_for_sending _receive_goaway_frame _stream_closed_by "
    "acknowledge_received_data close_connection get_next_available_stream_id inbound_flow_control_window "
    "increment_flow_control_window initiate_connection local_flow_control_window local_settings ping "
    "remote_settings reset_stream send_data send_headers",
    "H2Stream": "closed",
}
"""Of h2, by class, in any case."""


@cache
def short_way_is_known() -> bool:
    """Whether h2 keeps its state where `protocol` looks for it. Decided once: a connection asks when it is made."""
    try:
        connection = H2Connection(H2Configuration(client_side=True))
        stream = H2Stream(1, connection.config, 1, 1)
        looked_at = {
            "H2Connection": connection,
            "H2Stream": stream,
            "FrameBuffer": connection.incoming_buffer,
            "H2StreamStateMachine": stream.state_machine,
            "WindowManager": stream._inbound_window_manager,
            "Encoder": connection.encoder,
            "HeaderTable": connection.encoder.header_table,
        }
        _decode_headers(connection.decoder, b"")
    except (AttributeError, TypeError):
        return False
    return all(hasattr(looked_at[kind], name) for kind, names in H2_SHORT_WAY.items() for name in names.split())
