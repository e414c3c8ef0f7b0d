"""Read the policies that apply to our queues from RabbitMQ's management API.

AMQP shows no policy, so this needs another address. A policy may remove orders that were accepted
(https://www.rabbitmq.com/docs/policies).
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp

from flashsale.broker.port import BrokerUnavailable
from flashsale.broker.rabbitmq.addresses import addresses
from flashsale.broker.topology import Queue, Topology

_TIMEOUT = aiohttp.ClientTimeout(total=5)


async def policy_warnings(
    management_url: str, broker_url: str, topology: Topology
) -> Sequence[str]:
    """Return a line for each policy that drops or expires messages of a queue, or refuses earlier.

    Ask with the user of the broker's URL. Raises `BrokerUnavailable` if that gets no answer.
    """
    address = urlsplit(addresses(broker_url)[0])
    user = f"{unquote(address.username or 'guest')}:{unquote(address.password or 'guest')}"
    headers = {"Authorization": f"Basic {b64encode(user.encode()).decode()}"}
    vhost = quote(unquote(address.path[1:]) or "/", safe="")
    queues_url = f"{management_url.rstrip('/')}/api/queues/{vhost}"
    found: list[str] = []
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:
            for queue in topology.queues:
                async with session.get(f"{queues_url}/{quote(queue.name, safe='')}") as answer:
                    answer.raise_for_status()
                    found += _harms(queue, await answer.json())
    except aiohttp.ClientResponseError as error:
        raise BrokerUnavailable(f"{management_url}: {error.status} {error.message}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        raise BrokerUnavailable(f"{management_url}: {reason}") from error
    return found


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
        f"{policy} sets {key}={applied[key]} on queue {queue.name}: {harm}"
        for key, harm in _HARMS.items()
        if key in applied and _is_harmful(queue, key, applied[key])
    ]


def _is_harmful(queue: Queue, key: str, value: Any) -> bool:
    # Of a number in a policy and one in the arguments, RabbitMQ takes the smaller one.
    match key:
        case "max-length":
            return queue.max_length is None or int(value) < queue.max_length
        case "message-ttl":
            return queue.delay_seconds is None or int(value) < queue.delay_seconds * 1000
        case _:
            return True
