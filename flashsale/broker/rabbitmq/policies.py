"""Read the policies that apply to our queues from RabbitMQ's management API.

AMQP shows no policy, so this needs another address. A policy may remove orders that were accepted
(https://www.rabbitmq.com/docs/policies).
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp

from flashsale.broker.port import BrokerUnavailable
from flashsale.broker.rabbitmq.addresses import addresses
from flashsale.broker.rabbitmq.arguments import queue_arguments
from flashsale.broker.topology import Queue, Topology

_TIMEOUT = aiohttp.ClientTimeout(total=5)


async def policy_warnings(
    management_url: str, broker_url: str, topology: Topology
) -> Sequence[str]:
    """Return a line for each policy that drops or expires messages of a queue, or refuses earlier.

    Ask as the user in the management URL, without one as the user of the broker's URL. A queue that
    is not there yet has no policy. Raises `BrokerUnavailable` if that gets no answer.
    """
    host, headers = _signed_in(management_url, broker_url)
    vhost = quote(unquote(urlsplit(addresses(broker_url)[0]).path[1:]) or "/", safe="")
    queues_url = f"{host}/api/queues/{vhost}"
    found: list[str] = []
    missing: aiohttp.ClientResponseError | None = None
    seen = 0
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:
            for queue in topology.queues:
                try:
                    described = await _read(session, f"{queues_url}/{quote(queue.name, safe='')}")
                except aiohttp.ClientResponseError as error:
                    if error.status != HTTPStatus.NOT_FOUND:
                        raise
                    missing = error
                    continue
                seen += 1
                found += _harms(queue, described)
        if missing is not None and not seen:
            raise missing  # another address, or another virtual host
    except aiohttp.ClientResponseError as error:
        raise BrokerUnavailable(f"{host}: {error.status} {error.message}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        raise BrokerUnavailable(f"{host}: {reason}") from error
    return found


def _signed_in(management_url: str, broker_url: str) -> tuple[str, dict[str, str]]:
    """Return the management URL without user and password, and the header that has them."""
    url = urlsplit(management_url)
    user = url if url.username else urlsplit(addresses(broker_url)[0])
    pair = f"{unquote(user.username or 'guest')}:{unquote(user.password or 'guest')}"
    host = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl().rstrip("/")
    return host, {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


async def _read(session: aiohttp.ClientSession, url: str) -> Mapping[str, Any]:
    async with session.get(url) as answer:
        answer.raise_for_status()
        described = await answer.json()
    if not isinstance(described, dict):
        raise ValueError("the answer is not one of RabbitMQ's management API")
    return described


_REMOVES_OLDEST = "it removes its oldest messages beyond that"
_HARMS = {
    "message-ttl": "messages that wait longer are removed",
    "expires": "the queue is deleted with its messages if no consumer runs for so long",
    "max-length": "it takes fewer messages than it should",
    "max-length-bytes": "it may take fewer messages than it should",
    "delivery-limit": "messages that come again so often are removed",
}


def _harms(queue: Queue, described: Mapping[str, Any]) -> list[str]:
    applied: Mapping[str, Any] = described.get("effective_policy_definition") or {}
    names = [described.get(kind) for kind in ("policy", "operator_policy")]
    policy = " and ".join(repr(name) for name in names if name) or "a policy"
    return [
        f"{policy} sets {key}={applied[key]} on queue {queue.name}: {_harm(queue, key, applied)}"
        for key in _HARMS
        if key in applied and _is_harmful(queue, key, applied[key])
    ]


def _harm(queue: Queue, key: str, applied: Mapping[str, Any]) -> str:
    overflow = queue_arguments(queue).get("x-overflow") or applied.get("overflow") or "drop-head"
    return _REMOVES_OLDEST if "length" in key and overflow == "drop-head" else _HARMS[key]


def _is_harmful(queue: Queue, key: str, value: Any) -> bool:
    # Of a number in a policy and one in the arguments, RabbitMQ takes the smaller one.
    match key:
        case "max-length":
            return queue.max_length is None or int(value) < queue.max_length
        case "message-ttl":
            return queue.delay_seconds is None or int(value) < queue.delay_seconds * 1000
        case "delivery-limit":  # only quorum queues have one
            return queue_arguments(queue)["x-queue-type"] == "quorum"
        case _:
            return True
