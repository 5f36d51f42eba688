"""IndexesService: defining, starting, stopping and deleting indexes.

Owns: the checks in their order and the answers (section B.6 of the notes on KurrentDB). Must not know: how indexes are
filled and read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from esdb_lite_protos.kurrentdb.protocol.v2 import indexes as pb

from esdb_lite._status import RpcError, StatusCode, refusals, typed_refusals
from esdb_lite.server.indexes.catalogue import Indexes, IndexMissing, IndexThere
from esdb_lite.server.indexes.definition import (
    FieldDefinition,
    FieldType,
    IndexDefinition,
    IndexEntry,
    name_violations,
)
from esdb_lite.server.projections.javascript.engine import JavaScriptMissing
from esdb_lite.server.services.unary import current_call, encoded_list

T = TypeVar("T")

_FILTER = "Filter must be empty or a valid JavaScript function with exactly one argument"
_SELECTOR = "Field selector must be a valid JavaScript function with exactly one argument"


class IndexService(pb.IndexesServiceBase):
    """The methods of the service."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes

    async def create(self, create_index_request: pb.CreateIndexRequest) -> pb.CreateIndexResponse:
        """Define an index."""
        request = create_index_request
        name = request.name or ""
        try:
            definition = await self._checked(request)
        except JavaScriptMissing as error:
            raise RpcError(StatusCode.FAILED_PRECONDITION, str(error)) from None
        _permit("create", operator=True)
        try:
            await self._indexes.create(definition, start=request.start is not False)
        except IndexThere:
            raise typed_refusals.index_already_exists(name) from None
        return pb.CreateIndexResponse()

    async def _checked(self, request: pb.CreateIndexRequest) -> IndexDefinition:
        """Return what is to be created. Raises RpcError."""
        name, text = request.name or "", request.filter or ""
        violations = list(name_violations(name))
        if text.strip() and not await self._indexes.is_function(text):
            violations.append(_FILTER)
        for field in request.fields:
            violations += [each async for each in self._field_violations(field)]
        if len(request.fields) > 1:
            violations.append("Currently at most one index field must be provided")
        if not text.strip() and not request.fields:
            violations.append("At least a filter or a field must be provided")
        if violations:
            raise refusals.invalid_argument("; ".join(violations))
        fields = [FieldDefinition(f.name or "", f.selector or "", FieldType(int(f.type or 0))) for f in request.fields]
        return IndexDefinition(name, text, fields[0] if fields else None)

    async def _field_violations(self, field: pb.IndexField) -> AsyncIterator[str]:
        for violation in name_violations(field.name or ""):
            yield violation
        if not await self._indexes.is_function(field.selector or ""):
            yield _SELECTOR
        if int(field.type or 0) not in {each.value for each in FieldType}:
            yield "Field type must be specified"

    async def start(self, start_index_request: pb.StartIndexRequest) -> pb.StartIndexResponse:
        """Have an index filled, and read."""
        await _change("start", start_index_request.name or "", self._indexes.start)
        return pb.StartIndexResponse()

    async def stop(self, stop_index_request: pb.StopIndexRequest) -> pb.StopIndexResponse:
        """Let nobody read an index."""
        await _change("stop", stop_index_request.name or "", self._indexes.stop)
        return pb.StopIndexResponse()

    async def delete(self, delete_index_request: pb.DeleteIndexRequest) -> pb.DeleteIndexResponse:
        """Delete an index."""
        await _change("delete", delete_index_request.name or "", self._indexes.delete)
        return pb.DeleteIndexResponse()

    async def list(self, list_indexes_request: pb.ListIndexesRequest) -> pb.ListIndexesResponse:
        """Return all indexes. A real server fails where there has never been any."""
        _permit("list", operator=False)
        entries = await self._indexes.all()
        if not self._indexes.any_ever:
            raise refusals.thrown_by_handler("No index has been created so far.")
        return await encoded_list(pb.ListIndexesResponse, entries, _shown)

    async def get(self, get_index_request: pb.GetIndexRequest) -> pb.GetIndexResponse:
        """Return an index."""
        _permit("read", operator=False)
        name = get_index_request.name or ""
        return pb.GetIndexResponse(_shown(await _existing(name, self._indexes.get(name))))


async def _change(operation: str, name: str, change: Callable[[str], Awaitable[None]]) -> None:
    violations = list(name_violations(name))
    if violations:
        raise refusals.invalid_argument("; ".join(violations))
    _permit(operation, operator=True)
    await _existing(name, change(name))


async def _existing(name: str, command: Awaitable[T]) -> T:
    try:
        return await command
    except IndexMissing:
        raise typed_refusals.index_not_found(name) from None


def _permit(operation: str, *, operator: bool) -> None:
    principal = current_call().principal
    if not (principal.is_operator if operator else principal.known):
        raise typed_refusals.insufficient_permissions(
            f"user-indexes:{operation}:", principal.name if principal.known else None
        )


def _shown(entry: IndexEntry) -> pb.Index:
    definition = entry.definition
    field = definition.field
    fields = [] if field is None else [pb.IndexField(field.name, field.selector, pb.IndexFieldType(field.type.value))]
    state = pb.IndexState.STARTED if entry.started else pb.IndexState.STOPPED
    return pb.Index(definition.name, definition.filter, fields, pb.IndexState(state))
