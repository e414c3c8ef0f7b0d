"""All limits of clients: what is counted for whom, and what is refused."""

import time
from collections.abc import Callable, Mapping

import structlog
from aiohttp import web

from flashsale.messages.announcements import ClientsSeen
from flashsale.runtime.addresses import parse_networks
from flashsale.runtime.setting_groups.clients import ClientSettings
from flashsale.runtime.settings import Settings
from gateway.http.idempotency_key import IDEMPOTENCY_KEY
from gateway.identity.passes import PURCHASE_PASS
from gateway.intake.refusals import OverClientLimit
from gateway.limits.client_address import ClientKeys
from gateway.limits.client_limit import ClientLimit, SharedLimit
from gateway.limits.hops import Hops
from gateway.limits.open_counts import OpenCounts

log = structlog.get_logger()

ADMIT: web.RequestKey[Callable[[], None]] = web.RequestKey("admit")
"""What counts a request that is counted later: an order with a key, once it is known that it is no
retry, and a payment whose signature is not valid."""

_NOBODY = b"nobody"

# A retry with a key is free if its order is known. But to find out costs time, too.
_RETRIES_AN_ORDER = 10
_LEAST_RETRIES = 100
_LEAST_RETRIES_A_SECOND = 10.0


class ClientLimits:
    """Counts the requests of each client, by customer where it is known, and by address else."""

    def __init__(self, settings: ClientSettings, trusted_proxies: str) -> None:
        most = settings.client_table
        self.keys = ClientKeys(settings.client_ipv6_prefix)
        self._hops = Hops(parse_networks(trusted_proxies), settings.client_header)
        self.orders: SharedLimit | None = None
        self.reads: SharedLimit | None = None
        if (rate := settings.client_rate) is not None:
            self.orders = SharedLimit("order", rate, settings.client_burst, most)
            self._retries = ClientLimit(
                "order",
                max(_RETRIES_AN_ORDER * rate, _LEAST_RETRIES_A_SECOND),
                max(_RETRIES_AN_ORDER * settings.client_burst, _LEAST_RETRIES),
                most,
            )
        if (rate := settings.client_read_rate) is not None:
            self.reads = SharedLimit("read", rate, settings.client_read_burst, most)
        self.most_waiting = settings.client_connections
        self.waiting = OpenCounts()
        """The event streams and long polls of each client. It may have `most_waiting`, if set."""
        self._told_of_proxy = False

    def __len__(self) -> int:
        return sum(map(len, self._limits()))

    def client(self, request: web.Request, customer: str | None) -> bytes:
        """Return the key of the client who sends a request: the customer, if that is known."""
        if customer is not None:
            return self.keys.of_customer(customer)
        address = self._hops.client(request)
        return _NOBODY if address is None else self.keys.of_address(address)

    def take(self, limit: SharedLimit, client: bytes) -> None:
        """Count a request. Raises `OverClientLimit` if it comes too soon."""
        if wait := limit.take(client, time.monotonic()):
            raise OverClientLimit(wait)

    def take_retry(self, limit: SharedLimit, client: bytes, now: float) -> float:
        """Count an order with a key, which may be a retry, as `ClientLimit.take` does."""
        wait = self._retries.take(client, now)
        # After this time it will be accepted, whether it is a retry or not.
        return max(wait, limit.wait(client, now)) if wait else 0.0

    def warn_of_proxy(self, request: web.Request) -> None:
        """Say once that a proxy is refused as one client, if a request looks like that."""
        if not self._told_of_proxy and self._hops.is_unread(request):
            self._told_of_proxy = True
            log.warning(
                "a client over its limit may be a proxy: then set FLASHSALE_TRUSTED_PROXIES",
                address=request.remote,
            )

    def news(self) -> ClientsSeen | None:
        """Return what this gateway has allowed since the last call, None if nothing."""
        orders = {} if self.orders is None else self.orders.untold()
        reads = {} if self.reads is None else self.reads.untold()
        return ClientsSeen(orders, reads) if orders or reads else None

    def hear(self, seen: ClientsSeen) -> None:
        """Count what another gateway has allowed."""
        now = time.monotonic()
        _add(self.orders, seen.orders, now)
        _add(self.reads, seen.reads, now)

    def expire(self) -> None:
        """Forget clients that have all of their bursts again."""
        now = time.monotonic()
        for limit in self._limits():
            limit.expire(now)

    def _limits(self) -> list[ClientLimit]:
        limits: list[ClientLimit] = [] if self.orders is None else [self.orders, self._retries]
        return limits if self.reads is None else [*limits, self.reads]


def may_be_retry(request: web.Request) -> bool:
    """Return whether an order has what makes its id, so that it may be known already."""
    headers = request.headers
    return IDEMPOTENCY_KEY in headers or PURCHASE_PASS in headers


def _add(limit: SharedLimit | None, counts: Mapping[bytes, int], now: float) -> None:
    if limit is not None:
        for client, count in counts.items():
            limit.add_elsewhere(client, count, now)


def create_client_limits(settings: Settings) -> ClientLimits | None:
    """Return the limits that the settings name, None if they name none."""
    if not settings.limits_clients:
        return None
    return ClientLimits(settings, settings.trusted_proxies)
