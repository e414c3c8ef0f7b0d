"""The address of a PostgreSQL database, with the parameters of libpq."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

_CONNECT_SECONDS = 5.0
_PORT = 5432

# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SESSIONS = ("any", "read-write", "primary")  # the others are for those who only read
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_OF_TLS = (*_FILES, "sslmode", "sslpassword", "ssl_min_protocol_version")
_NAMES = {"user": "username", "password": "password", "dbname": "database"}
_KNOWN = (
    *("host", "port", *_NAMES, "application_name", "connect_timeout", "target_session_attrs"),
    *_OF_TLS,
)
_URL = re.compile(r"([^:]*://(?:[^:/]*(?::[^@]*)?@)?)([^/?]*)(.*)", re.DOTALL)
_HOST = re.compile(r"(\[[^]]+\]|[^:]*)(?::([0-9]+))?")


@dataclass(frozen=True)
class PostgresAddress:
    """One database, on one of several hosts."""

    hosts: tuple[tuple[str | None, int], ...]
    """Host or folder of a socket, and port. They are tried in this order."""
    application_name: str
    parameters: Mapping[str, Any]
    """The other arguments of `asyncpg.connect`."""


def postgres_address(url: str) -> PostgresAddress:
    """Read an SQLAlchemy URL `postgresql+asyncpg://...`.

    Raises `ValueError`, whose message names the parameter.
    """
    hosts, url = _cut_hosts(url)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ValueError("must be postgresql+asyncpg://user:password@host/database") from error
    query = {
        name: ",".join(value) if isinstance(value, tuple) else value
        for name, value in parsed.query.items()
    }
    if "ssl" in query:  # as asyncpg names it
        query.setdefault("sslmode", query.pop("ssl"))
    for name in query:
        if name not in _KNOWN:
            raise ValueError(f"unknown parameter {name}: known are {', '.join(_KNOWN)}")
    _check(query)
    hosts = query.get("host") or hosts
    ports = query.get("port") or str(_PORT)
    parameters: dict[str, Any] = {
        "timeout": float(query.get("connect_timeout") or _CONNECT_SECONDS),
    }
    for name, attribute in _NAMES.items():
        value = query.get(name) or getattr(parsed, attribute)
        if value is not None:
            parameters["database" if name == "dbname" else name] = value
    if "target_session_attrs" in query:
        parameters["target_session_attrs"] = query["target_session_attrs"]
    if tls := {name: value for name, value in query.items() if name in _OF_TLS}:
        # asyncpg reads the files, with libpq's defaults, if they are part of an address.
        parameters["dsn"] = f"postgresql://?{urlencode(tls)}"
    return PostgresAddress(
        tuple(_hosts(hosts, ports)), query.get("application_name", "flashsale"), parameters
    )


def _cut_hosts(url: str) -> tuple[str, str]:
    """Return the hosts of `postgresql+asyncpg://a:5432,b:5433/...`, and the URL without them.

    SQLAlchemy can't read a URL with several hosts.
    """
    found = _URL.fullmatch(url)
    return (found[2], found[1] + found[3]) if found else ("", url)


def _check(query: Mapping[str, str]) -> None:
    for name, allowed in (("sslmode", _SSL_MODES), ("target_session_attrs", _SESSIONS)):
        if name in query and query[name] not in allowed:
            raise ValueError(f"{name}={query[name]} must be one of {', '.join(allowed)}")
    seconds = query.get("connect_timeout", "1")
    if not seconds.isdecimal() or int(seconds) < 1:
        raise ValueError(f"connect_timeout={seconds} must be a number of seconds, 1 or more")
    for name in _FILES:
        if name in query and not Path(query[name]).is_file():
            raise ValueError(f"{name}={query[name]} is no file")
    if query.get("sslkey") and not query.get("sslcert"):
        raise ValueError("sslkey needs sslcert")


def _hosts(hosts: str, ports: str) -> Iterator[tuple[str | None, int]]:
    """Return each host with its port. One port may be for all hosts."""
    names, numbers = hosts.split(","), ports.split(",")
    if not all(number.isdecimal() for number in numbers) or len(numbers) not in (1, len(names)):
        raise ValueError(f"port={ports} must be one number, or one for each host")
    for name, number in zip(names, numbers * (len(names) // len(numbers)), strict=True):
        found = _HOST.fullmatch(name)
        if found is None or (not found[1] and len(names) > 1):
            raise ValueError(f"host={name} must be a host, or a host and its port")
        yield found[1].strip("[]") or None, int(found[2] or number)
