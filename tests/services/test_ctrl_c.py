"""Ctrl-C in the middle of a call without asyncio: the program ends with KeyboardInterrupt, and nothing else is said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from esdb_lite import EmbeddedServer, EsdbClient, NewEvent
from tests.support import environment

PATIENCE = 60

PROGRAM = """
import logging, os, signal, sys, threading, time
from esdb_lite import *

class Store:
    def load(self): return None
    def save(self, position): pass

def press_ctrl_c(client):
    "As soon as the main thread waits for the loop, which has looked at what it waits for."
    def press():
        while sys._current_frames()[main].f_code.co_name != "wait":
            time.sleep(0.001)
        for _ in range(2):
            client.get_commit_position()
        os.kill(os.getpid(), signal.SIGINT)
    main = threading.main_thread().ident
    threading.Thread(target=press, daemon=True).start()

def nothing(event): pass

signal.signal(signal.SIGINT, signal.default_int_handler)
logging.getLogger("esdb_lite").setLevel(logging.ERROR)
with EsdbClient(sys.argv[1]) as client:
"""

CALLS = {
    "read": """
press_ctrl_c(client)
while True: list(client.read_stream_events("many"))""",
    "append": """
press_ctrl_c(client)
while True: client.append_events("new", StreamState.ANY, NewEvent("T", bytes(100_000)))""",
    "append records": """
press_ctrl_c(client)
while True: client.append_records([NewRecord("new", "T")])""",
    "subscription": """
press_ctrl_c(client)
for event in client.subscribe_all_events(): pass""",
    "subscription in with": """
with client.subscribe_stream_events("waits") as subscription:
    press_ctrl_c(client)
    for event in subscription: pass""",
    "persistent subscription": """
subscription = client.read_subscription("kept", "waits")
press_ctrl_c(client)
for event in subscription: pass""",
    "persistent subscription in with": """
with client.read_subscription("kept", "waits") as subscription:
    press_ctrl_c(client)
    for event in subscription: pass""",
    "handler of a group": """
with client.read_subscription("kept", "waits") as subscription:
    press_ctrl_c(client)
    subscription.consume(nothing)""",
    "handlers of a group": """
with client.read_subscription("kept", "waits") as subscription:
    press_ctrl_c(client)
    subscription.consume(nothing, concurrency=3)""",
    "consumer": """
consumer = client.consumer(nothing, checkpoint=Store())
press_ctrl_c(client)
consumer.run()""",
    "wait_for": """
consumer = client.consumer(nothing, stream_name="waits", checkpoint=Store())
def run():
    try: consumer.run()
    except ClientClosed: pass
threading.Thread(target=run, daemon=True).start()
press_ctrl_c(client)
consumer.wait_for(AppendResult(10**9, 10))""",
    "group of consumers": """
group = ConsumerGroup({"a": client.consumer(nothing, checkpoint=Store())})
press_ctrl_c(client)
group.run()""",
    "projection": """
press_ctrl_c(client)
client.wait_for_projection("$by_category")""",
    "statistics": """
press_ctrl_c(client)
while True: client.read_statistics()""",
    "server that is not there": """
press_ctrl_c(client)
EsdbClient("esdb://127.0.0.1:1?tls=false").connect(timeout=30)""",
    "embedded server": """
with EsdbClient("esdb+embedded:///") as other:
    press_ctrl_c(client)
    for event in other.subscribe_all_events(): pass""",
    "embedded server that ends": """
with EmbeddedServer() as server, EsdbClient(server.uri) as other:
    other.create_subscription("kept", "waits")
    press_ctrl_c(client)
    for event in other.read_subscription("kept", "waits"): pass""",
}


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with EmbeddedServer(run_projections="system") as server:
        with EsdbClient(server.uri) as client:
            client.append_events("many", None, [NewEvent("T", bytes(1000)) for _ in range(900)])
            client.append_events("one", None, NewEvent("T", b""))
            client.create_subscription("kept", "waits")
        yield server.uri


GROUP = """
def take_a_moment(event):
    press_ctrl_c(client)
    while not consumer._feed.stopping: time.sleep(0.001)
    time.sleep(0.3)
    print("handled")

class Kept(Store):
    def save(self, position): print("stored")

consumer = client.consumer(take_a_moment, stream_name="one", checkpoint=Kept())
ConsumerGroup({"a": consumer}).run()"""


@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_said_but_that(uri: str, call: str) -> None:
    assert interrupted(uri, CALLS[call]) == ""


def test_a_group_of_consumers_ends_before_its_program(uri: str) -> None:
    """The handler that runs finishes, and the position is stored."""
    assert interrupted(uri, GROUP) == "handled\nstored\n"


def interrupted(uri: str, call: str) -> str:
    """What a program has printed that was ended by Ctrl-C, and has complained of nothing else."""
    program = PROGRAM + call.replace("\n", "\n    ")
    done = subprocess.run(
        [sys.executable, "-c", program, uri],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
        check=False,
    )
    lines = done.stderr.splitlines()
    assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "KeyboardInterrupt"), done.stderr
    assert all(line.startswith(" ") for line in lines[1:-1]), done.stderr
    return done.stdout
