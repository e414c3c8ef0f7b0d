"""The address of a PostgreSQL database, with the parameters of libpq."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from flashsale.ledger.sql.engines import tls

_CONNECT_SECONDS = 5.0
_PORT = 5432
_LAST_PORT = 65_535

# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_SESSIONS = ("any", "read-write", "primary")  # the others are for those who only read
_NAMES = {"user": "username", "password": "password", "dbname": "database"}
# Those values of parameters that ask for what asyncpg does in any case.
_AS_IT_IS = {
    "channel_binding": ("prefer", "disable"),
    "gssencmode": ("prefer", "disable"),
    "client_encoding": ("auto", "utf8", "UTF8", "utf-8", "UTF-8"),
    "sslsni": ("1",),
    "sslcompression": ("0",),
    "load_balance_hosts": ("disable",),
}
_ALLOWED = {**_AS_IT_IS, "target_session_attrs": _SESSIONS}
_KNOWN = (
    *("host", "port", *_NAMES, "passfile", "options", "connect_timeout", "target_session_attrs"),
    *("application_name", "fallback_application_name"),
    *tls.PARAMETERS,
    *_AS_IT_IS,
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
    startup: Mapping[str, str] = field(default_factory=dict)
    """What the server is told at the start of a session, besides the name of the application."""


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
        **tls.tls_arguments(query),
    }
    for name, attribute in _NAMES.items():
        value = query.get(name) or getattr(parsed, attribute)
        if value is not None:
            parameters["database" if name == "dbname" else name] = value
    for name in ("target_session_attrs", "passfile"):
        if name in query:
            parameters[name] = query[name]
    name = query.get("application_name") or query.get("fallback_application_name") or "flashsale"
    startup = {"options": query["options"]} if query.get("options") else {}
    return PostgresAddress(tuple(_hosts(hosts, ports)), name, parameters, startup)


def _cut_hosts(url: str) -> tuple[str, str]:
    """Return the hosts of `postgresql+asyncpg://a:5432,b:5433/...`, and the URL without them.

    SQLAlchemy can't read a URL with several hosts.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return "", url
    if "@" in found[2]:  # what comes before it belongs to the password
        raise ValueError("an @ in the user or the password must be written as %40")
    return unquote(found[2]), found[1] + found[3]


def _check(query: Mapping[str, str]) -> None:
    for name, allowed in _ALLOWED.items():
        if name in query and query[name] not in allowed:
            raise ValueError(f"{name}={query[name]} must be one of {', '.join(allowed)}")
    seconds = query.get("connect_timeout", "1")
    if not seconds.isdecimal() or int(seconds) < 1:
        raise ValueError(f"connect_timeout={seconds} must be a number of seconds, 1 or more")
    if "passfile" in query and not Path(query["passfile"]).is_file():
        raise ValueError(f"passfile={query['passfile']} is no file")


def _hosts(hosts: str, ports: str) -> Iterator[tuple[str | None, int]]:
    """Return each host with its port. One port may be for all hosts."""
    names, numbers = hosts.split(","), ports.split(",")
    if not all(number.isdecimal() for number in numbers) or len(numbers) not in (1, len(names)):
        raise ValueError(f"port={ports} must be one number, or one for each host")
    for name, number in zip(names, numbers * (len(names) // len(numbers)), strict=True):
        found = _HOST.fullmatch(name)
        if found is None or (not found[1] and len(names) > 1):
            raise ValueError(f"host={name} must be a host, or a host and its port")
        port = int(found[2] or number)
        if not 0 < port <= _LAST_PORT:
            raise ValueError(f"port={port} must be from 1 to {_LAST_PORT}")
        host = found[1].strip("[]") or None
        if host is not None:
            _require_name(host)
        yield host, port


def _require_name(host: str) -> None:
    if host.startswith("/"):  # the folder of a socket
        return
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"host={host} is no name of a host") from error
