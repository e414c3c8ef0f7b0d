"""Mail addresses: that of the shop, and those of its customers."""

import re
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.utils import getaddresses

_DOMAIN = re.compile(r"[A-Za-z0-9._-]+|\[[A-Za-z0-9.:]+\]")


def sender(text: str) -> Address:
    """Return the address of a sender, such as `The shop <sale@shop.example>`.

    Raises `ValueError` if it is not one address that every mail server takes.
    """
    found = getaddresses([text])
    if len(found) != 1 or "\r" in text or "\n" in text:
        raise ValueError(f"{text!r} is no address")
    name, spec = found[0]
    local, _, domain = spec.rpartition("@")
    try:
        return Address(name, addr_spec=_in_ascii(f"{local}@{_international(domain)}"))
    except (ValueError, IndexError, HeaderParseError) as error:
        raise ValueError(f"{text!r} is no address") from error


class Directory:
    """Finds the mail address of a customer by the customer id."""

    def __init__(self, pattern: str) -> None:
        """Use `pattern`, an address with `{customer_id}` in it, for ids that are no address.

        Raises `ValueError` if that makes no address.
        """
        to, _, domain = pattern.rpartition("@")
        self._before_id, _, self._after_id = to.partition("{customer_id}")
        try:
            self._domain = _international(domain)
            self.address("c-1")
        except ValueError as error:
            raise ValueError(f"{pattern!r} makes no address") from error

    def address(self, customer_id: str) -> str:
        """Return the address of a customer. Raises `ValueError` if the id makes none."""
        try:
            if "@" not in customer_id:
                local = f"{self._before_id}{customer_id}{self._after_id}"
                found = Address(username=local, domain=self._domain)
            else:  # the id is an address
                local, _, domain = customer_id.rpartition("@")
                spec = f"{local}@{_international(domain)}"
                found = Address(addr_spec=spec)
                if found.addr_spec != spec:  # a comment in it was left out, for example
                    raise ValueError("no plain mail address")
        except (IndexError, HeaderParseError) as error:
            raise ValueError("no mail address") from error
        if not (found.username and found.domain):
            raise ValueError("no mail address")
        return _in_ascii(found.addr_spec)


def _international(domain: str) -> str:
    """Return a domain as it is in the DNS: an international one in ASCII (RFC 3490)."""
    known = domain if domain.startswith("[") else domain.encode("idna").decode("ascii")
    # Characters that IDNA leaves out or replaces could make it the domain of somebody else.
    if not _DOMAIN.fullmatch(known) or (
        not domain.isascii() and known.encode().decode("idna") != domain.lower()
    ):
        raise ValueError(f"{domain!r} is no domain")
    return known


def _in_ascii(address: str) -> str:
    # Few servers take others (SMTPUTF8, RFC 6531).
    address.encode("ascii")
    return address
