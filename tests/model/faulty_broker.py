"""The embedded broker behind a connection that may fail, and that confirms in its own time."""

import asyncio
from typing import Literal

from flashsale.broker import BrokerError, BrokerUnavailable, Topology
from flashsale.broker.embedded import EmbeddedBroker, _Message
from flashsale.messages.headers import Headers

BrokerFault = Literal["lost", "taken, but unanswered", "announcement lost"]


class FaultyBroker(EmbeddedBroker):
    """`fault`, if it is set, befalls the next message that it is for."""

    def __init__(self, topology: Topology) -> None:
        super().__init__(topology)
        self.fault: BrokerFault | None = None
        self.taken: dict[str, list[bytes]] = {}
        """The bodies that were put in the queue of orders, by message id."""
        self.announcement_lost = False
        """Whether one was ever lost."""

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        message_id: str,
        headers: Headers | None = None,
        mandatory: bool = True,
    ) -> asyncio.Future[None]:
        fault = self._befalls(exchange, routing_key)
        answer = asyncio.get_running_loop().create_future()
        error: BrokerError | None = None
        if fault is not None:
            error = BrokerUnavailable(fault)
        if fault in (None, "taken, but unanswered"):
            try:
                super().publish(
                    exchange,
                    routing_key,
                    body,
                    message_id=message_id,
                    headers=headers,
                    mandatory=mandatory,
                )
            except BrokerError as refusal:
                error = error or refusal
            else:
                if routing_key == "order":
                    self.taken.setdefault(message_id, []).append(body)
        # A real broker answers later: what happens in between is for the loop to pick.
        asyncio.get_running_loop().call_soon(_answer, answer, error)
        return answer

    def _befalls(self, exchange: str, routing_key: str) -> BrokerFault | None:
        fault = self.fault
        if fault is None:
            return None
        announced = exchange == self._topology.outcomes
        if routing_key == "order" if fault != "announcement lost" else announced:
            self.fault = None
            self.announcement_lost |= announced
            return fault
        return None

    def insert(self, message_id: str, body: bytes) -> None:
        """Put a message in the queue of orders by another way than a gateway."""
        queue = self._queues[self._topology.orders]
        self._put(queue, _Message(body, message_id, {}))

    def undecided(self) -> set[str]:
        """The ids of the orders that are in the queue, delivered ones included."""
        queue = self._queues[self._topology.orders]
        ids = {message.message_id for message in queue.ready}
        for consumer in queue.consumers:
            ids.update(message.message_id for message in consumer._unacked.values())
        return ids


def _answer(answer: asyncio.Future[None], error: BrokerError | None) -> None:
    if answer.cancelled():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
        answer.exception()  # whoever asked may be gone
