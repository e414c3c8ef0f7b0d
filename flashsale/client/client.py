"""The client of a sale: buy, place, follow, look."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import aiohttp

from flashsale.client.changing import change
from flashsale.client.errors import Undecided, UnknownOrder
from flashsale.client.exchanges import Gateways, Observer, checked_addresses
from flashsale.client.following import follow
from flashsale.client.orders import Intention, OrderState
from flashsale.client.pauses import Patience, Pauses
from flashsale.client.placing import is_unknown, place

_PATIENCE_SECONDS = 120.0
_ATTEMPT_SECONDS = 15.0


class SaleClient:
    """Orders at a flash sale, over aiohttp; an asynchronous context manager.

    async with SaleClient("https://shop.example/flash") as client:
        order = await client.buy(Intention("tv-55", customer_id="c-123"))
        print(order.status, order.reason)

    One client serves any number of tasks. Every call is bounded by its `patience`, in seconds.
    """

    def __init__(
        self,
        gateways: str | Sequence[str],
        *,
        token: str | None = None,
        session: aiohttp.ClientSession | None = None,
        attempt_seconds: float = _ATTEMPT_SECONDS,
        observer: Observer | None = None,
    ) -> None:
        """`gateways` is the address of the sale, or several, of which each call begins at any.

        `token` is sent as a bearer token. A `session` that is given stays open afterwards.
        `attempt_seconds` is the longest time for one request. `observer` is called with every
        exchange. Raises `ValueError` for an address that is none.
        """
        self._session = session
        self._own_session: aiohttp.ClientSession | None = None
        self._addresses = checked_addresses([gateways] if isinstance(gateways, str) else gateways)
        self._token = token
        self._attempt_seconds = attempt_seconds
        self._observer = observer
        self._gateways: Gateways | None = None

    async def __aenter__(self) -> Self:
        session = self._session
        if session is None:
            # A retry is ours to send, and cookies are nobody's: a client may serve many customers.
            session = self._own_session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
        self._gateways = Gateways(
            self._addresses,
            session,
            token=self._token,
            observer=self._observer,
            attempt_seconds=self._attempt_seconds,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._own_session is not None:
            await self._own_session.close()

    def use_token(self, token: str | None) -> None:
        """Send this bearer token from now on, as the former one expires."""
        self._token = token
        if self._gateways is not None:
            self._gateways.token = token

    async def buy(self, intention: Intention, *, patience: float = _PATIENCE_SECONDS) -> OrderState:
        """Place an intention, and return the state of the order once it is decided.

        A `held` order is decided, but not final: it is to be paid at its `pay_url`, and followed
        with `final=True`.
        A rejected order is a result, not an error. Raises `Refused`, `NotTaken`, `OutcomeUnknown`,
        or `Undecided` if the order still waits after `patience` seconds.
        """
        time_left = Patience(patience)
        taken_as = None
        while True:
            order = await place(self._opened, intention, time_left, taken_as)
            if order.decided:
                return order
            taken_as = order.order_id
            try:
                return await follow(self._opened, order.order_id, time_left)
            except UnknownOrder as error:
                # It is lost, or not told to the others yet. Under its key it is sent again safely.
                if not time_left.left:
                    raise Undecided(taken_as, error.problem) from error

    async def place(
        self, intention: Intention, *, patience: float = _PATIENCE_SECONDS
    ) -> OrderState:
        """Send an intention until it is taken; return the state of the order then.

        `Retry-After` is obeyed. An attempt without an answer is repeated under the same key. Raises
        `Refused`; after `patience` seconds `NotTaken` or `OutcomeUnknown`.
        """
        return await place(self._opened, intention, Patience(patience))

    async def follow(
        self, order_id: str, *, patience: float = _PATIENCE_SECONDS, final: bool = False
    ) -> OrderState:
        """Wait until an order is decided; return its state then.

        With `final` wait until it is final: a hold is paid or cancelled, or has ended.
        Raises `UnknownOrder`, or `Undecided` after `patience` seconds, or if a gateway refuses to
        tell, as the token has expired.
        """
        return await follow(self._opened, order_id, Patience(patience), final=final)

    async def cancel(self, order_id: str, *, patience: float = _PATIENCE_SECONDS) -> OrderState:
        """Cancel an order; return its state then. To cancel it again is safe.

        Raises `Refused` if it can't be cancelled (`not-cancellable`, `order-over`), `UnknownOrder`,
        or `Undecided` if no gateway answers within `patience` seconds.
        """
        return await change(self._opened, order_id, "cancel", Patience(patience))

    async def extend(self, order_id: str, *, patience: float = _PATIENCE_SECONDS) -> OrderState:
        """Let the hold of an order end later, once; return its state then.

        Raises `Refused` if that is not possible (`not-held`, `not-extendable`,
        `extended-already`), and the other errors of `cancel`.
        """
        return await change(self._opened, order_id, "extend", Patience(patience))

    async def look(self, order_id: str, *, patience: float = _PATIENCE_SECONDS) -> OrderState:
        """Return the state of an order now.

        Raises `UnknownOrder`, or `Undecided` if no gateway tells it within `patience` seconds.
        """
        time_left, pauses, door = Patience(patience), Pauses(), self._opened.door()
        while True:
            seconds = min(self._attempt_seconds, time_left.left)
            looked = await door.look(order_id, seconds=seconds)
            if looked.order is not None:
                return looked.order
            if is_unknown(looked):
                raise UnknownOrder(order_id, looked.problem)
            pause = pauses.next(looked.retry_after)
            if looked.refused or not time_left.allows(pause):
                raise Undecided(order_id, looked.problem)
            await asyncio.sleep(pause)

    @property
    def _opened(self) -> Gateways:
        if self._gateways is None:
            raise RuntimeError("open the client by `async with`")
        return self._gateways
