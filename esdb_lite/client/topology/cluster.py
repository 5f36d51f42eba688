"""A cluster: asking its nodes for the members, choosing one of them, and noticing that another one leads.

Owns: which nodes are asked, how long, and what is remembered of them. Must not know: what calls say, retries.

Seeds and all nodes that are known are asked side by side, each with a deadline of its own: one that is leaving or
frozen never answers. The first answer that names a node to be used decides; when there are answers, the silent get a
moment more, and no longer.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from esdb_lite._convert import gossip
from esdb_lite._convert.gossip import GossipMember
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.shared import Shared, retrieved
from esdb_lite._rpc.stubs import channel_to
from esdb_lite.client.authorization import Metadata
from esdb_lite.client.retry import suspicious
from esdb_lite.client.topology.choosing import choose, is_of_kind, leaders
from esdb_lite.client.topology.need import Need, wanted
from esdb_lite.client.topology.nodes import Moved, Nodes
from esdb_lite.connection_strings import ConnectionSettings
from esdb_lite.errors import (
    AccessDenied,
    ClientClosed,
    DiscoveryFailed,
    EsdbClientException,
    NotLeader,
    ProtocolError,
    ServerNotReady,
)
from esdb_lite.settings import Address, NodePreference

WATCH_INTERVAL = 1.0
"""Seconds between two looks at who leads, while something is open that belongs to the leader."""
DOUBT = 5.0
"""Seconds for which a node that has failed is taken only where there is no other."""
SHORTEST_PAUSE = 0.01
"""Seconds between two rounds of questions, whatever the settings say: refusals cost nothing and come at once."""
GRACE = 0.3
"""Seconds that those get who have not answered when others have: a frozen node would hold up everything else. In a
search that goes on they get more with every round."""
RECONSIDER = 10.0
"""Seconds between two looks for a node of the preferred kind, while one of another kind has to do."""
MOST_MEMBERS = 100
"""Members that are believed. (Real clusters have up to about ten.)"""
MOST_ASKED = 16
"""Members that are asked in one round, beside the seeds."""
_REASONS_SHOWN, _MEMBERS_SHOWN, _REASON_LENGTH = 5, 10, 300

_log = logging.getLogger("esdb_lite.cluster")


class Cluster:
    """The nodes of a cluster, and those of them that calls go to."""

    def __init__(
        self, nodes: Nodes, settings: ConnectionSettings, who: Callable[[ConnectionPool, Deadline], Awaitable[Metadata]]
    ) -> None:
        """`who` returns the credentials for a node."""
        self._nodes = nodes
        self._who = who
        self._settings = settings
        self._seeds: dict[Address, str | None] = dict.fromkeys(settings.nodes)
        self._members: tuple[GossipMember, ...] = ()
        self._chosen: dict[NodePreference, ConnectionPool] = {}
        self._doubted: dict[Address, float] = {}
        self._searches: dict[NodePreference, Shared[ConnectionPool]] = {}
        self._watchers: dict[int, tuple[ConnectionPool, Moved]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._makeshift: dict[NodePreference, float] = {}
        """When it was looked for a better node last, where the chosen one is not of the preferred kind."""
        self._better: dict[NodePreference, asyncio.Task[None]] = {}
        self._count = 0
        self._closed = False

    # --- which node ---

    async def node(self, need: Need, deadline: Deadline) -> ConnectionPool:
        """Return the node for a call, searching for one where none is known."""
        preference = self._wanted(need)
        chosen = self._chosen.get(preference)
        if chosen is not None:
            self._reconsider(preference)
            return chosen
        search = self._searches.get(preference)
        if search is None:
            search = self._searches[preference] = Shared(lambda: self._search(preference))
        found = await search.get(deadline)
        if found is None:
            raise self._failure(f"no node was found within {deadline.timeout or 0:g} seconds")
        return found

    def requires_leader(self, need: Need) -> bool:
        """True for what goes to the leader, which may be one no more."""
        return self._wanted(need) is NodePreference.LEADER

    def is_current(self, node: ConnectionPool, need: Need) -> bool:
        """Whether calls of this need go to the node."""
        return self._chosen.get(self._wanted(need)) is node

    def failed(self, node: ConnectionPool, error: Exception) -> None:
        """Turn away from a node, to the leader that it has named or to any that is found."""
        if not suspicious(error):
            return
        self._doubted[Address(node.host, node.port)] = monotonic()
        for preference, chosen in [*self._chosen.items()]:
            if chosen is node:
                del self._chosen[preference]
        if isinstance(error, NotLeader) and error.host and error.port and not self._doubts(error.host, error.port):
            self._settle(NodePreference.LEADER, self._nodes.get(Address(error.host, error.port)))
        self._forget_strangers()

    def _wanted(self, need: Need) -> NodePreference:
        return wanted(need, self._settings.node_preference)

    def _settle(self, preference: NodePreference, node: ConnectionPool) -> None:
        before = self._chosen.get(preference)
        self._chosen[preference] = node
        if before is not node:
            _log.info("%s: talking to %s", preference.value, node.authority)
        self._nodes.close_idle(*self._chosen.values())
        if is_of_kind(self._members, Address(node.host, node.port), preference):
            self._makeshift.pop(preference, None)
        else:
            self._makeshift[preference] = monotonic()

    def _forget_strangers(self) -> None:
        """Drop nodes that are neither members nor in use: a cluster may name ever new ones."""
        in_use = (*self._chosen.values(), *(node for node, _ in self._watchers.values()))
        known = {member.place for member in self._members} | {Address(node.host, node.port) for node in in_use}
        self._nodes.forget_all_but(known | set(self._seeds))

    def _reconsider(self, preference: NodePreference) -> None:
        """Look for a node of the preferred kind now and then: it may have come back. Nobody waits for it."""
        since = self._makeshift.get(preference)
        if since is None or monotonic() - since < RECONSIDER or preference in self._better or self._closed:
            return
        self._makeshift[preference] = monotonic()
        task = self._better[preference] = asyncio.ensure_future(self._look_for_better(preference))
        task.add_done_callback(lambda _: self._better.pop(preference, None))
        task.add_done_callback(retrieved)

    async def _look_for_better(self, preference: NodePreference) -> None:
        found, _ = await self._round(preference, GRACE)
        if found is not None and is_of_kind(self._members, Address(found.host, found.port), preference):
            self._settle(preference, found)

    def _doubts(self, host: str, port: int) -> bool:
        return monotonic() - self._doubted.get(Address(host, port), -DOUBT) < DOUBT

    def _doubted_now(self) -> set[Address]:
        return {place for place in self._doubted if self._doubts(place.host, place.port)}

    def _failure(self, reason: str) -> DiscoveryFailed | ClientClosed:
        if self._closed:
            return ClientClosed("the client is closed")
        error = DiscoveryFailed(reason, details=reason)
        error.sent = False
        return error

    # --- searching ---

    async def _search(self, preference: NodePreference) -> ConnectionPool:
        attempts, reasons = self._settings.max_discover_attempts, ["nobody was asked"]
        attempt = 0
        while attempts is None or attempt < attempts:
            if attempt:
                await asyncio.sleep(max(SHORTEST_PAUSE, self._settings.discovery_interval))
            attempt += 1
            found, reasons = await self._round(preference, GRACE * attempt)
            if found is not None:
                self._settle(preference, found)
                return found
            _log.debug("no node yet (%s), attempt %d: %s", preference.value, attempt, shown(reasons))
        raise self._failure(f"no node to be used ({preference.value}) after {attempt} attempts: {shown(reasons)}")

    async def _round(
        self, preference: NodePreference, grace: float, *, silent: ConnectionPool | None = None
    ) -> tuple[ConnectionPool | None, list[str]]:
        """Ask everybody once; return a node, and what those said who could not name one.

        `grace`: seconds that the others get when somebody has answered. `silent`: one that does not answer just now.
        """
        try:
            nodes = await self._to_be_asked()
        except DiscoveryFailed as error:
            return None, [str(error)]
        asked = {asyncio.ensure_future(self._ask(node)): node for node in nodes}
        doubted = self._doubted_now() | ({Address(silent.host, silent.port)} if silent is not None else set())
        reasons: list[str] = []
        fallback: ConnectionPool | None = None
        waiting, answered = set(asked), False
        try:
            while waiting:
                timeout = grace if answered else None
                done, waiting = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break
                for task in done:
                    answered |= task.exception() is None
                    found, reason = self._judge(asked[task], task, preference, doubted)
                    if found is None:
                        reasons.append(reason)
                    elif Address(found.host, found.port) not in doubted:
                        return found, reasons
                    else:
                        fallback = fallback or found
        finally:
            for task in asked:
                task.cancel()
            # all of them: asyncio complains of failures that nobody has looked at
            await asyncio.gather(*asked, return_exceptions=True)
            self._forget_strangers()
        return fallback, reasons

    def _judge(
        self,
        node: ConnectionPool,
        task: asyncio.Future[tuple[GossipMember, ...]],
        preference: NodePreference,
        doubted: set[Address],
    ) -> tuple[ConnectionPool | None, str]:
        """Return the node that an answer leads to, or why it leads to none."""
        error = task.exception()
        if error is not None:
            return None, str(error)
        members = self._learn(node, task.result())
        place = choose(members, preference, doubted=doubted, chance=random.random())
        if place is not None:
            return self._nodes.get(place, self._seeds.get(place)), ""
        some = members[:_MEMBERS_SHOWN]
        seen = ", ".join(f"{member.place} {member.state.name}{'' if member.alive else ' dead'}" for member in some)
        return None, f"{node.authority} knows of {seen or 'nobody'}"

    def _learn(self, node: ConnectionPool, members: Sequence[GossipMember]) -> tuple[GossipMember, ...]:
        """Remember who there is. One that is alone is reached where it was asked, whatever it calls itself."""
        if len(members) == 1:
            members = (GossipMember(Address(node.host, node.port), members[0].state, members[0].alive),)
        members = tuple(members[:MOST_MEMBERS])
        self._members = members or self._members
        return members

    async def _ask(self, node: ConnectionPool) -> tuple[GossipMember, ...]:
        """Ask a node for the members of the cluster. Raises what the call does, or ServerNotReady for nonsense."""
        deadline = Deadline(self._settings.gossip_timeout)
        try:
            try:
                return await gossip.read(channel_to(node, deadline))
            except AccessDenied:  # as a rule everybody may ask
                return await gossip.read(channel_to(node, deadline, await self._who(node, deadline)))
        except ProtocolError as error:
            raise ServerNotReady(f"{node.authority}: its gossip cannot be understood: {error}") from error

    async def _to_be_asked(self) -> list[ConnectionPool]:
        """Return the living members that are known, and the seeds."""
        if self._settings.discover and len(self._settings.nodes) == 1:
            await self._resolve(self._settings.nodes[0])
        places = [member.place for member in self._members if member.alive][:MOST_ASKED]
        return [self._nodes.get(place, self._seeds.get(place)) for place in dict.fromkeys([*places, *self._seeds])]

    async def _resolve(self, name: Address) -> None:
        """Make seeds of all addresses that a name has."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(name.host, name.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            if self._members:
                return
            raise self._failure(f"cannot find the address of {name.host}: {error}") from error
        self._seeds = {Address(str(address[0]), name.port): name.host for *_, address in found}

    # --- watching ---

    def watch(self, node: ConnectionPool, moved: Moved) -> Callable[[], None]:
        """Look now and then whether the node leads still, where only the leader is wanted."""
        if self._settings.node_preference is not NodePreference.LEADER or self._closed:
            return lambda: None
        self._count += 1
        key = self._count
        self._watchers[key] = node, moved
        if self._watching is None:
            self._watching = asyncio.ensure_future(self._watch())

        def unwatch() -> None:
            self._watchers.pop(key, None)
            if not self._watchers and self._watching is not None:
                self._watching.cancel()
                self._watching = None

        return unwatch

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            try:
                await self._look()
            except EsdbClientException as error:
                _log.debug("the cluster cannot be looked at: %s", error)

    async def _look(self) -> None:
        """See who leads, and have everything moved that is open on another node."""
        chosen = self._chosen.get(NodePreference.LEADER) or next(iter(self._watchers.values()))[0]
        asking = asyncio.ensure_future(self._ask(chosen))
        try:
            await asyncio.wait({asking}, timeout=GRACE)
            if not asking.done() or asking.exception() is not None:
                await self._look_beside(chosen)
                return
            found = leaders(self._learn(chosen, asking.result()))
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        if found == [Address(chosen.host, chosen.port)]:
            self._move_to(chosen)
        elif len(found) < 2:  # there are two while the old one does not know yet
            leader, _ = await self._round(NodePreference.LEADER, GRACE)
            if leader is not None:
                self._move_to(leader)

    async def _look_beside(self, silent: ConnectionPool) -> None:
        """Ask the others who leads, while the one that did so does not answer."""
        _log.debug("%s does not say who leads", silent.authority)
        leader, _ = await self._round(NodePreference.LEADER, GRACE, silent=silent)
        if leader is not None:
            self._move_to(leader)
            if leader is not silent:
                silent.close_links("it does not answer, and another node leads the cluster")

    def _move_to(self, leader: ConnectionPool) -> None:
        if self._chosen.get(NodePreference.LEADER) is not leader:
            self._settle(NodePreference.LEADER, leader)
        for moved in [moved for node, moved in self._watchers.values() if node is not leader]:
            moved(f"{leader.authority} leads the cluster now")

    async def close(self) -> None:
        """Stop searching and watching."""
        self._closed = True
        self._watchers.clear()
        for search in self._searches.values():
            search.cancel()
        looking = [*self._better.values()]
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})


def shown(reasons: Sequence[str]) -> str:
    """Return some of these reasons in one line: there may be as many as a server likes, and as long."""
    texts = [reason if len(reason) <= _REASON_LENGTH else f"{reason[:_REASON_LENGTH]}..." for reason in reasons]
    more = len(texts) - _REASONS_SHOWN
    return "; ".join([*texts[:_REASONS_SHOWN], *([f"and {more} more"] if more > 0 else [])])
