"""What somebody says who does not speak HTTP/2 is reported as what it is."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite import AsyncEsdbClient, RetryPolicy, ServiceUnavailable, StreamState, TlsError
from esdb_lite._http2.greeting import Greeting, first_line, greeting_of
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.reasons import why_hung_up, why_no_http2, why_not_connected
from esdb_lite.errors import OutcomeUnknown
from tests.rpc.fake import fake_server
from tests.rpc.streams_service import StreamsService

SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
GOAWAY = b"\0\0\x08\x07\0\0\0\0\0" + bytes(8)
ALERT = b"\x15\x03\x03\x00\x02\x02\x46"


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (SETTINGS, Greeting.HTTP2),
        (b"\0\0\x1e\x04\0\0\0\0\0" + bytes(30), Greeting.HTTP2),
        (GOAWAY, Greeting.HTTP2),
        (b"HTTP/1.1 400 Bad Request\r\n", Greeting.HTTP1),
        (b"HTTP/1.0 200", Greeting.HTTP1),
        (ALERT, Greeting.TLS),
        (b"\x16\x03\x01\x02\x00\x01", Greeting.TLS),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Greeting.OTHER),
        (b"220 mail.example.org ESMTP\r\n", Greeting.OTHER),
        (b"\0\0\x05\x00\0\0\0\0\x01hello", Greeting.OTHER),  # DATA before SETTINGS
    ],
)
def test_by_the_first_bytes(first: bytes, expected: Greeting) -> None:
    assert greeting_of(first) is expected
    assert greeting_of(b"") is Greeting.NOTHING
    seen = [greeting_of(first[:size]) for size in range(1, len(first) + 1)]
    assert set(seen) <= {Greeting.NOTHING, expected}  # however little comes at first


@given(st.binary(max_size=40))
def test_whatever_is_said_can_be_shown(first: bytes) -> None:
    assert first_line(first).isprintable()
    assert len(first_line(first)) < 300
    assert greeting_of(first) in Greeting


@asynccontextmanager
async def saying(words: bytes, *, after: int = 1) -> AsyncIterator[str]:
    """A port where somebody says this, when so many bytes have come, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(await reader.read(65536)) < after:
            pass
        writer.write(words)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("words", "text", "final"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "HTTP/1: 'HTTP/1.1 400 Bad Request'.*expects TLS", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "something else: 'SSH-2.0-OpenSSH_9.2'", False),
        (ALERT, "speaks TLS on this port", True),
    ],
)
async def test_it_is_said_and_nothing_is_in_doubt(words: bytes, text: str, final: bool) -> None:
    async with saying(words) as target:
        for ask in (_read, _change):
            async with AsyncEsdbClient(f"esdb://{target}?tls=false") as client:
                with pytest.raises(ServiceUnavailable, match=text) as caught:
                    await ask(client)
                assert isinstance(caught.value, TlsError) is final
                assert not isinstance(caught.value, OutcomeUnknown)
                assert not caught.value.sent


async def _read(client: AsyncEsdbClient) -> None:
    await client.get_commit_position()


async def _change(client: AsyncEsdbClient) -> None:
    await client.tombstone_stream("s", StreamState.ANY)


async def test_control_characters_of_strangers_do_not_reach_the_terminal() -> None:
    async with saying(b"\x1b]0;pwned\x07\x1b[31m\r\n") as target, AsyncEsdbClient(target) as client:
        with pytest.raises(ServiceUnavailable) as caught:
            await client.get_commit_position()
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(("host", "port"), [("a\0b", 2113), ("127.0.0.1", 99_999), ("127.0.0.1", -1), ("x" * 300, 1)])
async def test_places_that_are_none_are_no_python_errors(host: str, port: int) -> None:
    pool = ConnectionPool(host, port)
    with pytest.raises(ServiceUnavailable, match="cannot connect"):
        await pool.connect(Deadline(5))
    await pool.close()


# --- which of them another attempt can mend ---------------------------------------------------------------------------


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


def unverified() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.reason, error.verify_code = "CERTIFICATE_VERIFY_FAILED", 10
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("error", "final_at_first", "final_later"),
    [
        (unverified(), True, True),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), True, True),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), True, True),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), True, True),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), True, True),
        (tls_error("UNSUPPORTED_PROTOCOL"), True, True),
        (tls_error("WRONG_VERSION_NUMBER"), True, False),  # a proxy that has lost its server answers like this, too
        (tls_error("HTTP_REQUEST"), True, False),
        (tls_error("UNEXPECTED_EOF_WHILE_READING"), False, False),
        (tls_error("TLSV1_ALERT_INTERNAL_ERROR"), False, False),
        (ConnectionResetError(104, "reset"), False, False),
        (ConnectionAbortedError(), False, False),
        (ConnectionRefusedError(111, "refused"), False, False),
        (asyncio.TimeoutError(), False, False),
        (OverflowError("port must be 0-65535"), False, False),
        (socket.gaierror(-2, "Name or service not known"), False, False),
    ],
    ids=lambda value: str(getattr(value, "reason", value)),
)
def test_what_is_final(error: Exception, final_at_first: bool, final_later: bool) -> None:
    for met, final in ((False, final_at_first), (True, final_later)):
        reason = why_not_connected(error, secure=True, met=met, limit=10)
        assert (reason.error is TlsError) is final
        assert reason.text


def test_what_is_guessed_at() -> None:
    assert why_hung_up(tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), secure=True, met=False).error is TlsError
    assert why_hung_up(ConnectionResetError(), secure=True, met=False).error is ServiceUnavailable
    assert "expects TLS" in why_hung_up(None, secure=False, met=False).text
    assert "asks for a certificate" in why_hung_up(None, secure=True, met=False).text
    assert why_hung_up(None, secure=False, met=True).text == "the server has closed the connection at once"
    assert "expects TLS" not in why_no_http2(Greeting.HTTP1, b"HTTP/1.1 503 x", secure=True).text
    assert why_no_http2(Greeting.TLS, ALERT, secure=False).error is TlsError


async def test_a_proxy_that_has_lost_its_server_is_asked_again() -> None:
    """One that was met before: it answers in plain HTTP/1.1, and then the server is there again."""
    async with fake_server(StreamsService()) as server:
        policy = RetryPolicy(first_pause=0.01)
        async with AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=policy) as client:
            await client.get_commit_position()
            sick = 2

            def connected(peer: object) -> None:
                nonlocal sick
                if sick:
                    sick -= 1
                    server.peer.h2.clear_outbound_data_buffer()
                    server.peer.transport.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")

            server.on_connect = connected
            server.peer.drop()
            await client.get_commit_position()
            assert not sick
