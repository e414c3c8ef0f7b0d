"""The dead letters of orders and services: an operator reads, replays and drops them, audited."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from flashsale.broker import Broker, DeadQueue, Topology
from flashsale.broker.dead_letter_view import LetterView, letter_view
from flashsale.broker.dead_letters import Settled, drop, peek, replay
from flashsale.domain.audit_entries import Author
from flashsale.domain.errors import FlashsaleError
from flashsale.ledger import AuditLog, LedgerError

log = structlog.get_logger()

Action = Literal["dead.replay", "dead.drop"]

_AUDITED_IDS = 100

_SETTLE: Mapping[
    Action, Callable[[Broker, DeadQueue, Collection[str] | None], Awaitable[Settled]]
] = {"dead.replay": replay, "dead.drop": drop}


class QueueUnknown(FlashsaleError):
    """There is no queue of dead letters of this name."""


@dataclass(frozen=True)
class LettersOfQueue:
    """The number of letters in a queue, and the oldest of them."""

    queue: str
    count: int
    letters: Sequence[LetterView]


class Interrupted(FlashsaleError):
    """Some letters are replayed or dropped. `__cause__` kept the others, or the audit entry."""

    def __init__(self, settled: Mapping[str, Any]) -> None:
        """`settled` has the count and the ids of those that are."""
        super().__init__(f"{settled['count']} dead letters were settled, then it was interrupted")
        self.settled = settled


class DeadLetters:
    """Reads, replays and drops dead letters, over connections that no order is published on."""

    def __init__(self, broker: Broker, audit_log: AuditLog, topology: Topology) -> None:
        """Know the dead queues of this topology. Those of services are declared when needed."""
        self._broker = broker
        self._audit_log = audit_log
        self._topology = topology
        self._declared = False
        # Two readers of a queue would each get a part of its letters.
        self._turn = asyncio.Lock()

    def queues(self, name: str | None = None) -> Sequence[DeadQueue]:
        """Return all dead queues, or the one of that name. Raises `QueueUnknown`."""
        queues = self._topology.dead_queues
        if name is None:
            return queues
        found = [dead for dead in queues if name in (dead.name, dead.queue)]
        if not found:
            raise QueueUnknown(f"It is one of {', '.join(dead.name for dead in queues)}.")
        return found

    async def look(self, name: str | None, limit: int) -> list[LettersOfQueue]:
        """Return up to `limit` letters of all queues, or of the one of that name.

        Raises `QueueUnknown` and `BrokerUnavailable`.
        """
        looked: list[LettersOfQueue] = []
        queues = self.queues(name)
        async with self._turn:
            await self._declare()
            for dead in queues:
                count = (await self._broker.depth(dead.queue)).ready
                found = await peek(self._broker, dead, limit) if count and limit else ()
                letters = [letter_view(dead, letter) for letter in found]
                limit -= len(letters)
                looked.append(LettersOfQueue(dead.name, max(count, len(letters)), letters))
        return looked

    async def settle(
        self, action: Action, dead: DeadQueue, ids: Collection[str] | None, author: Author
    ) -> Mapping[str, Any]:
        """Replay or drop letters of a queue, all if `ids` is None. Return their count and ids.

        The audit entry is written afterwards, as the broker takes no part in a transaction. After
        a crash in between, letters were replayed or dropped of which the audit does not tell; a
        repeated request finds none of them any more. If only the database fails in between, the
        log has the entry. Nothing begins while the database does not answer.

        A request that settled nothing is not in the audit. One that was interrupted is, but without
        its idempotency key, so that its repetition goes on with the rest. Raises `Interrupted`,
         `BrokerUnavailable`, and `LedgerError` if nothing was settled.
        """
        async with self._turn:
            wanted = {"ids": None if ids is None else sorted(ids)}
            before = await self._earlier_result(author, action, dead, wanted)
            if before is not None:
                return before
            await self._declare()
            settled = await _SETTLE[action](self._broker, dead, ids)
            after = {"count": len(settled.ids), "ids": list(settled.ids[:_AUDITED_IDS])}
            if settled.trouble is not None:
                author = Author(author.who, author.reason, author.request_id)
            if settled.ids:
                await self._audit(author, action, dead, wanted, after)
        if settled.trouble is not None:
            raise Interrupted(after) from settled.trouble
        return after

    async def _earlier_result(
        self, author: Author, action: Action, dead: DeadQueue, wanted: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        if author.idempotency_key is None:
            await self._audit_log.entries(1)  # to see that the database answers
            return None
        return await self._audit_log.earlier_result(author, action, dead.name, wanted)

    async def _audit(
        self,
        author: Author,
        action: Action,
        dead: DeadQueue,
        wanted: Mapping[str, Any],
        after: Mapping[str, Any],
    ) -> None:
        try:
            await self._audit_log.write(author, action, dead.name, wanted, after)
        except LedgerError as error:
            log.error(
                "audit entry not written",
                action=action,
                target=dead.name,
                who=author.who,
                why=author.reason,
                after=after,
                reason=str(error),
            )
            raise Interrupted(after) from error

    async def _declare(self) -> None:
        """Declare the dead queues once: a consumer may not yet have declared those of services.

        Their other queues are left to it: nobody may consume them. Raises `BrokerError`.
        """
        if not self._declared:
            await self._broker.extend(Topology((), self._topology.queues, ()))
            self._declared = True
