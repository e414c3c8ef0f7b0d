"""The addresses that a webhook may be sent to: public ones only, unless private ones are allowed.

An operator's endpoint could otherwise reach what only our own network reaches, such as the metadata
of a cloud at 169.254.169.254 (server-side request forgery).
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from flashsale.domain.operators.refusals import ChangeRefused

LONGEST_URL = 2_000

# https://www.iana.org/assignments/iana-ipv4-special-registry and its twin for IPv6. What Python
# calls global changes with its versions, so the list is here as well.
_REFUSED = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)

# Networks whose addresses have an IPv4 address in them, to which a router may translate them, and
# how many bits are behind that address.
_WITH_IPV4: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated (RFC 2765)
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (IPv6Network("2002::/16"), 80),  # 6to4
)
# NAT64 for a network's own use (RFC 8215). Where the IPv4 address is depends on the network.
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")


def is_public(address: str) -> bool:
    """Return whether the IP address belongs to the public internet.

    An IPv6 address that stands for an IPv4 address is judged by that one. An address with a zone,
    such as `fe80::1%eth0`, and what is no IP address at all are not public.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        if parsed.scope_id is not None or parsed in _LOCAL_NAT64:
            return False
        for network, bits_behind in _WITH_IPV4:
            if parsed in network:
                return _is_global(IPv4Address(int(parsed) >> bits_behind & 0xFFFF_FFFF))
    return _is_global(parsed)


def _is_global(parsed: IPv4Address | IPv6Address) -> bool:
    refused = any(parsed.version == net.version and parsed in net for net in _REFUSED)
    return parsed.is_global and not parsed.is_multicast and not refused


def require_url(url: str, *, allow_private: bool) -> None:
    """Raise `ChangeRefused` unless webhooks may be sent to the URL.

    It must be `https`, or `http` if private addresses are allowed, without user and password, and
    not name an address that is not public. What a host name resolves to is checked when a
    connection is made, each time.
    """
    if len(url) > LONGEST_URL or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise ChangeRefused("url", f"must be at most {LONGEST_URL} printable ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ChangeRefused("url", "is no URL") from error
    schemes = ("https", "http") if allow_private else ("https",)
    if parts.scheme not in schemes:
        raise ChangeRefused("url", "must begin with " + " or ".join(f"{s}://" for s in schemes))
    if not host or port == 0 or "\\" in url:
        raise ChangeRefused("url", "must name a host")
    if parts.username is not None or parts.password is not None:
        raise ChangeRefused("url", "must have no user or password: requests are signed instead")
    if parts.fragment:
        raise ChangeRefused("url", "must have no fragment")
    if not allow_private and _is_private_host(host):
        raise ChangeRefused(
            "url", f"{host} is not public; FLASHSALE_WEBHOOK_ALLOW_PRIVATE allows such addresses"
        )


def _is_private_host(host: str) -> bool:
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        # Some resolvers read 127.1, 0x7f000001 and 2130706433 as addresses. No host name is like
        # that: its last label is not a number (RFC 1123, 2.1).
        last = name.rpartition(".")[2]
        return last.isdigit() or last.lower().startswith("0x")
    return not is_public(name)
