"""Who the client of a request is, whatever a client writes of hops."""

import random
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from flashsale.runtime.addresses import parse_networks
from gateway.limits.client_address import (
    Address,
    ClientKeys,
    TrustedNetworks,
    parse_address,
    parse_hop,
)
from gateway.limits.hops import ClientHeader, Hops

PROXIES = "10.0.0.0/8, 2001:db8:ffff::/48"
PROXY = "10.1.2.3"
SPOOFED = "203.0.113.66"


def address(text: str) -> Address:
    found = parse_address(text)
    assert found is not None
    return found


def client(
    *lines: str,
    header: ClientHeader = "X-Forwarded-For",
    name: str | None = None,
    peer: str = PROXY,
    trusted: str = PROXIES,
) -> Address | None:
    headers = CIMultiDict([(name or header, line) for line in lines])
    request = make_mocked_request("GET", "/", headers=headers)
    request = request.clone(remote=peer)
    return Hops(parse_networks(trusted), header).client(request)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:DB8:0::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_every_form_of_an_address_is_the_same_address(text: str, same: str) -> None:
    assert parse_hop(text) == address(same)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ",", "unknown", "_hidden", "-", "null", "localhost", "192.0.2", "1.2.3.4.5"),
        *("192.0.2.256", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:123456", "192.0.2.01", "0x7f.1"),
        *("[192.0.2.1]", "[2001:db8::1", "2001:db8::1]", "[[::1]]", "[::1]x", "[]", ":", "::x"),
        *(
            "192.0.2.1 203.0.113.1",
            "\uff11.2.3.4",
            "\udcff",
            "1.2.3.4\0",
            "2130706433",
            "%",
            "1.2.3.4;",
        ),
    ],
)
def test_garbage_is_no_address(text: str) -> None:
    assert parse_hop(text) is None


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert client(SPOOFED, trusted="") == address(PROXY)
    assert client(SPOOFED, peer="198.51.100.1") == address("198.51.100.1")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        ([f"{SPOOFED}, 198.51.100.1"], "198.51.100.1"),
        ([f"{SPOOFED}, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ([SPOOFED, "198.51.100.1"], "198.51.100.1"),  # two lines are one list
        ([f"{SPOOFED}, 198.51.100.1", "10.9.9.9, 2001:db8:ffff::7"], "198.51.100.1"),
        ([f"10.0.0.1, {SPOOFED}, 10.0.0.2, 198.51.100.1:1234"], "198.51.100.1"),
        (["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
        (["::ffff:10.0.0.8, ::ffff:198.51.100.1, ::ffff:10.0.0.8"], "198.51.100.1"),
        ([f"{SPOOFED}, unknown"], PROXY),  # what a proxy does not tell is the proxy's
        ([f"{SPOOFED}, unknown, 10.0.0.9"], "10.0.0.9"),
        ([f"{SPOOFED}, "], PROXY),
        ([", ,,"], PROXY),
        ([], PROXY),
    ],
)
def test_the_first_hop_from_the_right_that_is_not_trusted_is_the_client(
    lines: list[str], expected: str
) -> None:
    assert client(*lines) == address(expected)
    elements = [
        ", ".join(f'for="{forwarded(hop)}";proto=https' for hop in line.split(","))
        for line in lines
    ]
    assert client(*elements, header="Forwarded") == address(expected)


def forwarded(hop: str) -> str:
    """A hop as `Forwarded` writes it: IPv6 in brackets."""
    hop = hop.strip()
    return f"[{hop}]" if hop.count(":") > 1 else hop


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ('FOR="[2001:db8::5]:443";by=10.0.0.1;host=x', "2001:db8::5"),
        ("proto=https;For=198.51.100.1;", "198.51.100.1"),
        ("host=x", PROXY),
        ("for=_secret", PROXY),
        ("for=unknown", PROXY),
        (f"for={SPOOFED};for=198.51.100.1", PROXY),
        (f'for=198.51.100.1;host="x, for={SPOOFED}"', PROXY),
        (f'for=198.51.100.1;host="x, for={SPOOFED};a=\\"b"', PROXY),
        (f'host=";for={SPOOFED}"', PROXY),
        ('for="', PROXY),
        (f'for=", for={SPOOFED}, for=198.51.100.1', "198.51.100.1"),
        ("for", PROXY),
        ("=;=;", PROXY),
    ],
)
def test_nothing_in_quotes_pretends_to_be_a_hop(line: str, expected: str) -> None:
    assert client(line, header="Forwarded") == address(expected)


def test_the_other_header_is_not_read() -> None:
    assert client(SPOOFED, name="Forwarded") == address(PROXY)
    assert client(f"for={SPOOFED}", header="Forwarded", name="X-Forwarded-For") == address(PROXY)


def test_a_thousand_hops_are_not_read_to_their_end() -> None:
    assert client(", ".join([SPOOFED] * 1000 + ["198.51.100.1"])) == address("198.51.100.1")
    assert client(", ".join([SPOOFED] + ["10.0.0.4"] * 1000)) == address("10.0.0.4")


@given(spoofed=st.lists(st.text(max_size=40), max_size=5), seed=st.integers())
@settings(max_examples=100, deadline=None)
def test_whatever_a_client_writes_the_proxy_tells_its_address(
    spoofed: list[str], seed: int
) -> None:
    """A proxy adds the address to the same line or as a line of its own."""
    told = random.Random(seed).choice(["198.51.100.1", "198.51.100.1:5", "::ffff:198.51.100.1"])
    assert client(", ".join([*spoofed, told])) == address("198.51.100.1")
    assert client(*spoofed, told) == address("198.51.100.1")
    element = f'for="{forwarded(told)}"'
    assert client(*spoofed, element, header="Forwarded") == address("198.51.100.1")
    assert client(", ".join([*spoofed, element]), header="Forwarded") == address("198.51.100.1")


@given(lines=st.lists(st.text(max_size=200), max_size=5), header=st.sampled_from(["a", "b"]))
@settings(max_examples=100, deadline=None)
def test_garbage_of_a_trusted_proxy_never_fails(lines: list[str], header: str) -> None:
    client(*lines, header="X-Forwarded-For" if header == "a" else "Forwarded")


def same_client(one: str, other: str, prefix: int = 64) -> bool:
    keys = ClientKeys(prefix)
    return keys.of_address(address(one)) == keys.of_address(address(other))


@pytest.mark.parametrize(
    ("one", "other", "prefix", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", 64, True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", 64, False),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", 56, True),
        ("2001:db8:1:1ff::", "2001:db8:1:200::", 56, False),
        ("2001:db8:1:10::", "2001:db8:1:1f::", 60, True),
        ("2001:db8:1:10::", "2001:db8:1:20::", 60, False),
        ("2001:db8::1", "2001:db8::2", 128, False),
        ("192.0.2.1", "192.0.2.2", 64, False),
        ("192.0.2.1", "::ffff:192.0.2.1", 64, True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", 64, False),
    ],
)
def test_an_ipv6_client_is_its_prefix(one: str, other: str, prefix: int, same: bool) -> None:
    assert same_client(one, other, prefix) == same


@given(addresses=st.lists(st.ip_addresses(), min_size=2, max_size=2), prefix=st.integers(32, 128))
@settings(max_examples=100, deadline=None)
def test_keys_of_addresses_and_customers_never_meet(addresses: list[Any], prefix: int) -> None:
    keys = ClientKeys(prefix)
    one, other = (keys.of_address(address(str(each))) for each in addresses)
    if addresses[0].version != addresses[1].version and not any(
        getattr(each, "ipv4_mapped", None) for each in addresses
    ):
        assert one != other
    # The id of a customer may have the very bytes of an address.
    for customer in (str(addresses[0]), addresses[0].packed.decode("latin-1")):
        assert keys.of_customer(customer) not in (one, other)


def test_the_key_of_a_customer_has_a_bounded_length() -> None:
    keys = ClientKeys(64)
    assert len(keys.of_customer("é" * 128)) == len(keys.of_customer("a" * 16)) == 17
    assert keys.of_customer("a") != keys.of_customer("b")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
        ("0.0.0.0/0", "8.8.8.8", "2001:db8::1"),
        ("::/0", "2001:db8::1", "8.8.8.8"),
        ("127.0.0.0/8", "::ffff:127.0.0.1", "::1"),
    ],
)
def test_a_network_holds_its_addresses(text: str, inside: str, outside: str) -> None:
    networks = TrustedNetworks(parse_networks(text))
    assert address(inside) in networks
    assert address(outside) not in networks
