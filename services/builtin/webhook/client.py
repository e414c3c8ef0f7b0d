"""Send deliveries over HTTP, and turn whatever happens into attempts."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.webhooks.addresses import require_url
from flashsale.domain.webhooks.deliveries import Attempt, Claimed
from flashsale.runtime.setting_groups.webhooks import WebhookSettings
from services.builtin.webhook.answers import Answer, attempt_of, describe_failure
from services.builtin.webhook.public_connections import Lookup, open_connector
from services.builtin.webhook.requests import CONSTANT_HEADERS, signed_request

MOST_ANSWER_BYTES = 64 * 1024
"""The longest body of an answer that is read, for the sake of its connection."""

_BODY_SECONDS = 1.0

Clock = Callable[[], float]
"""Returns the Unix time."""


@asynccontextmanager
async def open_client(
    settings: WebhookSettings, clock: Clock, lookup: Lookup = socket.getaddrinfo
) -> AsyncIterator["WebhookClient"]:
    """Yield a client. Its connections are closed at the end."""
    async with aiohttp.ClientSession(
        connector=open_connector(
            settings.webhook_allow_private, settings.webhook_concurrency, lookup
        ),
        timeout=aiohttp.ClientTimeout(total=settings.webhook_timeout_seconds),
        headers=CONSTANT_HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,  # a proxy would connect where we do not
    ) as session:
        yield WebhookClient(session, settings, clock)


class WebhookClient:
    """Sends deliveries to their endpoints."""

    def __init__(
        self, session: aiohttp.ClientSession, settings: WebhookSettings, clock: Clock
    ) -> None:
        """Send by a session of `open_client`."""
        self._session = session
        self._allow_private = settings.webhook_allow_private
        self._timeout_seconds = settings.webhook_timeout_seconds
        self._clock = clock

    async def send(self, delivery: Claimed) -> Attempt:
        """Make a delivery. Whatever happens is an attempt, within the timeout."""
        began_at = self._clock()
        answer = await self._post(delivery, began_at)
        return attempt_of(delivery, answer, began_at, self._clock(), random.random())  # noqa: S311

    async def _post(self, delivery: Claimed, now: float) -> Answer:
        try:
            # Again, as what is allowed may have changed since the endpoint was added.
            require_url(delivery.url, allow_private=self._allow_private)
        except ChangeRefused as error:
            return Answer(error=f"the address is refused: {error.detail}")
        body, headers = signed_request(delivery, now)
        try:
            async with self._session.post(
                URL(delivery.url), data=body, headers=headers, allow_redirects=False
            ) as response:
                answer = Answer(response.status, response.headers.get("Retry-After"))
                await _drain(response)
                return answer
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(error=describe_failure(error, self._timeout_seconds))


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read the rest of an answer, so that its connection can be used again.

    The status has decided already. The connection of a body that is too long or too slow is closed.
    """
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while size <= MOST_ANSWER_BYTES and not response.content.at_eof():
                size += len(await response.content.readany())
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        response.close()
        return
    if size > MOST_ANSWER_BYTES:
        response.close()
