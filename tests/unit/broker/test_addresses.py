"""Several addresses of one broker."""

import pytest

from flashsale.broker import BrokerUnavailable
from flashsale.broker.rabbitmq.addresses import addresses, is_address, without_secrets
from flashsale.broker.rabbitmq.connection import Connection

A, B, C = "amqp://me:pw@a:5672/", "amqps://me:pw@b/", "amqp://c/sales"


def test_a_url_lists_several_addresses_with_commas() -> None:
    assert addresses(A) == [A]
    assert addresses(f"{A},{B} , {C}") == [A, B, C]


def test_a_url_is_not_split_at_a_comma_in_a_password() -> None:
    address = "amqp://me:p,w@a:5672/"
    assert addresses(f"{address},{B}") == [address, B]


@pytest.mark.parametrize("wrong", ["", "http://a/", "amqp://a:5672,b:5672/", "amqp://a:x/", "a"])
def test_a_malformed_url_is_no_address(wrong: str) -> None:
    assert not is_address(wrong)


def test_an_address_is_shown_without_its_password() -> None:
    assert [without_secrets(address) for address in (A, B, C)] == ["a:5672", "b", "c"]


async def test_connect_tries_all_addresses_in_random_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    async def away(url: str) -> Connection:
        tried.append(url)
        raise BrokerUnavailable("away")

    monkeypatch.setattr(Connection, "_connect", away)
    for _ in range(60):
        with pytest.raises(BrokerUnavailable):
            await Connection.connect(f"{A},{B},{C}")
    attempts = [tried[start : start + 3] for start in range(0, len(tried), 3)]
    assert all(sorted(attempt) == sorted([A, B, C]) for attempt in attempts)
    # The probability that one of them is never the first is 1e-10.
    assert {attempt[0] for attempt in attempts} == {A, B, C}
