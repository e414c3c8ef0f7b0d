"""Webhooks reach public addresses only, whatever a name server, a proxy or a receiver says."""

import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from flashsale.domain.webhooks.addresses import is_public
from flashsale.domain.webhooks.deliveries import Attempt, AttemptResult, Claimed
from flashsale.messages.standard_webhooks import new_secret
from flashsale.runtime.setting_groups.webhooks import WebhookSettings
from services.builtin.webhook import public_connections
from services.builtin.webhook.client import WebhookClient, open_client
from services.builtin.webhook.public_connections import Lookup
from tests.integration.webhooks.receiver import Receiver, status

Open = Callable[..., Any]


def a_delivery(url: str) -> Claimed:
    return Claimed(
        id=1,
        claim="c",
        endpoint_id="e",
        url=url,
        secrets=(new_secret(),),
        event_id="1",
        type="order.confirmed",
        order_id=None,
        occurred_at=1.0,
        body="{}",
        traceparent=None,
        attempts=0,
    )


def resolves_to(*answers: list[str]) -> Lookup:
    """A name server that gives these answers in turn, and the last one for ever."""
    left = list(answers)

    def look_up(host: str, port: int, **asked: Any) -> list[Any]:
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in addresses
        ]

    return look_up


@pytest.fixture
def http_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let URLs be of any kind, so that only the check at the socket is left."""
    monkeypatch.setattr("services.builtin.webhook.client.require_url", lambda *_, **__: None)


async def sent(lookup: Lookup, url: str, **settings: Any) -> Attempt:
    async with open_client(WebhookSettings(**settings), lambda: 1.0, lookup) as client:
        return await client.send(a_delivery(url))


@pytest.mark.usefixtures("http_allowed")
@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["10.0.0.1", "127.0.0.1", "::1"],
    ],
)
async def test_a_name_of_private_addresses_is_not_connected_to(
    receiver: Receiver, addresses: list[str]
) -> None:
    attempt = await sent(resolves_to(addresses), f"http://shop.example:{receiver.port}/")
    assert attempt.result is AttemptResult.FAILED
    assert attempt.error == "the address of the host is not public"
    assert receiver.received == []


@pytest.mark.usefixtures("http_allowed")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_an_address_in_the_url_is_not_connected_to(receiver: Receiver, host: str) -> None:
    attempt = await sent(socket.getaddrinfo, f"http://{host}:{receiver.port}/")
    assert attempt.error == "the address of the host is not public"
    assert receiver.received == []


@pytest.fixture
async def rebound(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, http_allowed: None
) -> AsyncIterator[WebhookClient]:
    """A client whose name server answers a public address first, and a private one from then on.

    127.0.0.2 is what stands for a public address here.
    """
    monkeypatch.setattr(
        public_connections, "is_public", lambda host: host == "127.0.0.2" or is_public(host)
    )
    monkeypatch.setattr(public_connections, "_DNS_SECONDS", 0)
    lookup = resolves_to(["127.0.0.2"], ["127.0.0.1"])
    async with open_client(WebhookSettings(), lambda: 1.0, lookup) as client:
        yield client


async def test_a_name_server_that_changes_its_answer_gains_nothing(
    receiver: Receiver, rebound: WebhookClient
) -> None:
    receiver.answers["/"] = status(200, Connection="close")
    delivery = a_delivery(f"http://rebind.example:{receiver.port}/")
    first, second = await rebound.send(delivery), await rebound.send(delivery)
    assert first.result is AttemptResult.DELIVERED
    assert second.error == "the address of the host is not public"
    assert len(receiver.received) == 1


async def test_a_wrong_url_in_the_table_is_not_sent_to(receiver: Receiver) -> None:
    """As after private addresses were allowed, and are not any more."""
    attempt = await sent(socket.getaddrinfo, receiver.url())
    assert attempt.error is not None
    assert attempt.error.startswith("the address is refused: must begin with https://")
    assert receiver.received == []


async def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, receiver.url("/proxy"))
    attempt = await sent(
        resolves_to(["127.0.0.3"]), "http://shop.example:9/", webhook_allow_private=True
    )
    assert attempt.result is AttemptResult.FAILED
    assert attempt.error == "the connection is refused"
    assert receiver.received == []


async def test_private_addresses_may_be_allowed(receiver: Receiver) -> None:
    lookup = resolves_to(["127.0.0.1"])
    url = f"http://shop.internal:{receiver.port}/hook"
    attempt = await sent(lookup, url, webhook_allow_private=True)
    assert attempt.result is AttemptResult.DELIVERED
    assert receiver.received[0].headers["host"] == f"shop.internal:{receiver.port}"


async def test_a_name_that_does_not_resolve_is_a_failure() -> None:
    def unknown(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    attempt = await sent(unknown, "https://nowhere.example/")
    assert (attempt.result, attempt.error) == (
        AttemptResult.FAILED,
        "the name of the host can't be resolved",
    )


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "*.example"])
async def test_a_name_that_is_none_is_a_failure(host: str) -> None:
    attempt = await sent(socket.getaddrinfo, f"https://{host}/")
    assert attempt.result is AttemptResult.FAILED


async def test_a_receiver_that_does_not_speak_tls_is_a_failure(receiver: Receiver) -> None:
    attempt = await sent(
        resolves_to(["127.0.0.1"]),
        f"https://shop.internal:{receiver.port}/",
        webhook_allow_private=True,
    )
    assert attempt.result is AttemptResult.FAILED
    assert attempt.error is not None
    assert attempt.error.startswith("TLS failed")
