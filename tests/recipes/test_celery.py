"""The tasks, in the processes of a real worker that takes them from a broker of files."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path
from uuid import uuid4

import pytest

pytest.importorskip("celery")

from esdb_lite import EsdbClient
from tests.recipes.conftest import Start
from tests.recipes.page import write
from tests.support import PATIENCE

FOLDERS = """
from shop_tasks import app, client, place_order

folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
app.conf.update(broker_transport_options=folders, worker_hijack_root_logger=False)
"""
WORKER = f"""{FOLDERS}
client.connect(timeout=10)  # used before the fork: the processes of the worker get a client that has a connection
"""
PRODUCER = f"""{FOLDERS}
import sys

for order, task_id in zip(sys.argv[1::2], sys.argv[2::2]):
    place_order.apply_async((order, 5), task_id=task_id)
"""


def read_until(process: subprocess.Popen[str], word: str, times: int) -> list[str]:
    """The lines with a word, when there are so many; a process that says too little is killed."""
    assert process.stdout is not None
    log: list[str] = []
    watch = threading.Timer(PATIENCE, process.kill)
    watch.start()
    try:
        while sum(word in line for line in log) < times:
            log.append(process.stdout.readline())
            assert log[-1], "".join(log)
    finally:
        watch.cancel()
    return [line for line in log if word in line]


@pytest.mark.slow
def test_tasks_that_come_twice(tmp_path: Path, start: Start, client: EsdbClient) -> None:
    write(tmp_path, "shop_tasks.py")
    (tmp_path / "queue").mkdir()
    (tmp_path / "worker.py").write_text(WORKER, "utf-8")
    (tmp_path / "producer.py").write_text(PRODUCER, "utf-8")
    broker = {"BROKER_URL": "filesystem://"}
    orders = [(f"order-{number}", str(uuid4())) for number in range(6)]
    twice = [text for name, task in [*orders, *orders] for text in (name.partition("-")[2], task)]
    with client.subscribe_all_events(timeout=PATIENCE) as subscription:
        worker = start("-m", "celery", "-A", "worker", "worker", "--pool", "prefork", "-c", "2", "-l", "INFO", **broker)
        producer = start("producer.py", *twice, **broker)
        said, _ = producer.communicate(timeout=PATIENCE)
        assert producer.returncode == 0, said
        placed = {next(subscription).stream_name for _ in orders}
    assert placed == {name for name, _ in orders}
    log = read_until(worker, "succeeded", len(twice) // 2)
    worker.send_signal(signal.SIGTERM)
    rest, _ = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0, rest
    assert len({line.partition("ForkPoolWorker-")[2][:1] for line in log}) == 2
    assert [event.stream_position for event in client.read_all_events()] == [0] * len(orders)
