"""Figures as text for those who collect them (OpenMetrics 1.0).

Owns: the format, and which figures there are by which names: those of a real server, where they mean the same.
Must not know: HTTP, how the figures come about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from esdb_lite.server.engine.groups.config import GroupConfig
from esdb_lite.server.engine.groups.statistics import GroupInfo

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Sample(NamedTuple):
    """One value; labels tell it from others of the same name."""

    value: float
    labels: Mapping[str, str] = {}


class Metric(NamedTuple):
    """Values of one kind. `name` is without the prefix and without `_total`."""

    name: str
    kind: str
    """`gauge`, or `counter` for what only grows while the process runs."""
    about: str
    samples: Sequence[Sample]


class NodeFigures(NamedTuple):
    """What is told of a node; the statistics by the names of the Monitoring service."""

    statistics: Mapping[str, str]
    up_time: float
    """Seconds."""
    connections: int
    calls_open: int
    calls_total: int
    calls_failed: int
    events_written: int
    bytes_written: int
    """Since the start, as the log counts them."""
    log_end: int
    groups: Sequence[tuple[GroupConfig, GroupInfo]]


def render(figures: NodeFigures, prefix: str) -> str:
    """Return all figures as text, their names beginning with `prefix`."""
    lines: list[str] = []
    for metric in (*_of_process(figures), *_of_calls(figures), *_of_log(figures), *_of_groups(figures.groups)):
        if metric.samples:
            lines.extend(_lines(metric, prefix))
    return "\n".join([*lines, "# EOF", ""])


def _of_process(figures: NodeFigures) -> Iterable[Metric]:
    found = figures.statistics
    pid = found["proc-id"]
    yield Metric("proc_up_time_seconds", "counter", "Seconds since the start", [Sample(figures.up_time, {"pid": pid})])
    yield Metric("proc_cpu", "gauge", "Share of one processor, in percent", _known(found, {"proc-cpu": {}}))
    memory = {"proc-mem": {"kind": "working-set"}}
    yield Metric("proc_mem_bytes", "gauge", "Memory of the process", _known(found, memory))
    yield Metric("proc_thread_count", "gauge", "Threads of the process", _known(found, {"proc-threadsCount": {}}))
    disk = {"proc-diskIo-readBytes": {"activity": "read"}, "proc-diskIo-writtenBytes": {"activity": "written"}}
    yield Metric("disk_io_bytes", "counter", "Bytes that the process has moved", _known(found, disk))
    operations = {"proc-diskIo-readOps": {"activity": "read"}, "proc-diskIo-writeOps": {"activity": "written"}}
    yield Metric("disk_io_operations", "counter", "Calls of the system for that", _known(found, operations))
    load = {f"sys-loadavg-{period}": {"period": period} for period in ("1m", "5m", "15m")}
    yield Metric("sys_load_avg", "gauge", "Load of the machine", _known(found, load))
    memory = {"sys-freeMem": {"kind": "free"}, "sys-totalMem": {"kind": "total"}}
    yield Metric("sys_mem_bytes", "gauge", "Memory of the machine", _known(found, memory))
    yield Metric("sys_disk_bytes", "gauge", "Room on the disk of the database", list(_drives(found)))


def _of_calls(figures: NodeFigures) -> Iterable[Metric]:
    total, failed = Sample(figures.calls_total, {"kind": "total"}), Sample(figures.calls_failed, {"kind": "failed"})
    yield Metric("incoming_grpc_calls", "counter", "Calls that have ended", [total, failed])
    yield Metric("current_incoming_grpc_calls", "gauge", "Calls that are open", [Sample(figures.calls_open)])
    yield Metric("kestrel_connections", "gauge", "Connections of clients", [Sample(figures.connections)])


def _of_log(figures: NodeFigures) -> Iterable[Metric]:
    written = {"activity": "written"}
    yield Metric("io_bytes", "counter", "Bytes of events", [Sample(figures.bytes_written, written)])
    yield Metric("io_events", "counter", "Events", [Sample(figures.events_written, written)])
    checkpoint = Sample(figures.log_end, {"name": "writer", "read": "non-flushed"})
    yield Metric("checkpoints", "gauge", "Positions in the log", [checkpoint])


def _of_groups(groups: Sequence[tuple[GroupConfig, GroupInfo]]) -> Iterable[Metric]:
    labels = [{"event_stream_id": config.stream, "group_name": config.group} for config, _ in groups]
    infos = [info for _, info in groups]

    def samples(values: Iterable[int]) -> list[Sample]:
        return [Sample(value, label) for value, label in zip(values, labels, strict=True)]

    name = "persistent_sub"
    yield Metric(f"{name}_connections", "gauge", "Consumers", samples(len(each.connections) for each in infos))
    parked = samples(each.parked_message_count for each in infos)
    yield Metric(f"{name}_parked_messages", "gauge", "Parked events", parked)
    flying = samples(each.total_in_flight_messages for each in infos)
    yield Metric(f"{name}_in_flight_messages", "gauge", "Events that wait for an answer", flying)
    yield Metric(f"{name}_items_processed", "counter", "Deliveries", samples(each.total_items for each in infos))


def _known(statistics: Mapping[str, str], names: Mapping[str, Mapping[str, str]]) -> list[Sample]:
    """The values that are known, with their labels."""
    found = [(statistics.get(name, "-1"), labels) for name, labels in names.items()]
    return [Sample(float(value), labels) for value, labels in found if value != "-1"]


def _drives(statistics: Mapping[str, str]) -> Iterable[Sample]:
    for name, value in statistics.items():
        if name.startswith("sys-drive-"):
            disk, _, what = name.removeprefix("sys-drive-").rpartition("-")
            if what in ("totalBytes", "usedBytes"):
                yield Sample(float(value), {"kind": what.removesuffix("Bytes"), "disk": disk})


def _lines(metric: Metric, prefix: str) -> Iterable[str]:
    name = f"{prefix}_{metric.name}"
    yield f"# TYPE {name} {metric.kind}"
    yield f"# HELP {name} {metric.about}."
    suffix = "_total" if metric.kind == "counter" else ""
    for value, labels in metric.samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{suffix}{{{inside}}} {value!r}" if inside else f"{name}{suffix} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
