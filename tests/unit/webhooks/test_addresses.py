"""Which addresses a webhook may be sent to."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.webhooks.addresses import is_public, require_url

PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:10.0.0.1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2606:4700::1111%eth0",
    "",
    "localhost",
    "1.2.3",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "172.15.255.255",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_no_public_network_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)


@given(st.integers(0, 2**32 - 1))
@example(int(IPv4Address("127.0.0.1")))
@example(int(IPv4Address("8.8.8.8")))
def test_an_ipv4_address_is_judged_the_same_in_each_disguise(number: int) -> None:
    plain = is_public(str(IPv4Address(number)))
    for prefix, bits_behind in (
        ("::ffff:0:0", 0),
        ("::ffff:0:0:0", 0),
        ("64:ff9b::", 0),
        ("2002::", 80),
    ):
        disguised = IPv6Address(int(IPv6Address(prefix)) + (number << bits_behind))
        assert is_public(str(disguised)) == plain, disguised


@given(st.ip_addresses())
def test_what_is_allowed_is_what_python_calls_global(address: IPv4Address | IPv6Address) -> None:
    if is_public(str(address)) and getattr(address, "ipv4_mapped", None) is None:
        assert address.is_global or address in _translated()
        assert not address.is_multicast


def _translated() -> "_Translated":
    return _Translated()


class _Translated:
    """The networks whose addresses are judged by the IPv4 address in them."""

    def __contains__(self, address: object) -> bool:
        return str(address).startswith(("2002:", "64:ff9b:", "::ffff:"))


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    if is_public(text):
        assert ip_address(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hook?token=1",
        "https://shop.example:8443",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]:8443/x",
        "https://xn--mller-kva.example/",
    ],
)
def test_a_public_url_is_allowed(url: str) -> None:
    require_url(url, allow_private=False)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://shop.example/", "https://"),
        ("ftp://shop.example/", "https://"),
        ("shop.example", "https://"),
        ("https://", "a host"),
        ("https:///hook", "a host"),
        ("https://shop.example:0/", "a host"),
        ("https://shop.example:99999/", "no URL"),
        ("https://[::1/", "no URL"),
        ("https://user:password@shop.example/", "no user or password"),
        ("https://@shop.example/", "no user or password"),
        ("https://shop.example/#part", "no fragment"),
        ("https://shop.example\\@10.0.0.1/", "a host"),
        ("https://shop.example/ x", "printable"),
        ("https://shop.example/\r\nX: 1", "printable"),
        ("https://müller.example/", "printable"),
        ("https://shop.example/" + "x" * 2_000, "printable"),
        ("https://localhost/", "not public"),
        ("https://api.localhost./", "not public"),
        ("https://127.0.0.1/", "not public"),
        ("https://127.1/", "not public"),
        ("https://2130706433/", "not public"),
        ("https://0x7f000001/", "not public"),
        ("https://[::ffff:10.0.0.1]/", "not public"),
        ("https://169.254.169.254/latest/meta-data", "not public"),
    ],
)
def test_a_wrong_url_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(ChangeRefused, match=why) as caught:
        require_url(url, allow_private=False)
    assert caught.value.field == "url"
    assert "password@" not in str(caught.value)


def test_private_addresses_and_plain_http_may_be_allowed() -> None:
    require_url("http://10.0.0.1:8080/hook", allow_private=True)
    with pytest.raises(ChangeRefused, match="user or password"):
        require_url("http://user@10.0.0.1/", allow_private=True)


@given(st.text(max_size=60), st.booleans())
def test_any_url_is_allowed_or_refused(text: str, allow_private: bool) -> None:
    for url in (text, f"https://{text}"):
        try:
            require_url(url, allow_private=allow_private)
        except ChangeRefused:
            continue
        assert url.isascii()
