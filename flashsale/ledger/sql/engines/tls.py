"""TLS to PostgreSQL by the parameters of libpq.

https://www.postgresql.org/docs/current/libpq-ssl.html
"""

import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
PARAMETERS = (
    *_FILES,
    "sslmode",
    "sslpassword",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)
_SYSTEM = "system"
"""The value of `sslrootcert` for the authorities that the machine trusts."""


def tls_arguments(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of `asyncpg.connect` for those of these parameters that concern TLS.

    Raises `ValueError`, whose message names the parameter.
    """
    tls = {name: value for name, value in query.items() if name in PARAMETERS}
    if not tls:
        return {}
    if tls.get("sslmode", "require") not in MODES:
        raise ValueError(f"sslmode={tls['sslmode']} must be one of {', '.join(MODES)}")
    if tls.get("sslkey") and not tls.get("sslcert"):
        raise ValueError("sslkey needs sslcert")
    system = tls.get("sslrootcert") == _SYSTEM
    if system and tls.setdefault("sslmode", "verify-full") != "verify-full":
        raise ValueError(f"sslmode={tls['sslmode']} must be verify-full with sslrootcert={_SYSTEM}")
    context = _checked_files(tls)
    # asyncpg reads the files, with libpq's defaults, if they are part of an address.
    arguments: dict[str, Any] = {"dsn": f"postgresql://?{urlencode(tls)}"}
    if system:
        arguments["ssl"] = context
    return arguments


def _checked_files(tls: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context with the files, once each of them could be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    key, password = tls.get("sslkey"), tls.get("sslpassword", "")
    checks: tuple[tuple[str, Callable[[str], None]], ...] = (
        ("sslrootcert", context.load_verify_locations),
        ("sslcrl", context.load_verify_locations),
        # Without a function, OpenSSL would ask for the password at the terminal.
        (
            "sslcert",
            lambda file: context.load_cert_chain(file, tls.get("sslkey"), lambda: password),
        ),
    )
    for name in _FILES:
        if name in tls and tls[name] != _SYSTEM:
            _require_file(name, tls[name])
    for name, load in checks:
        if name not in tls:
            continue
        if tls[name] == _SYSTEM:
            context.load_default_certs()
            continue
        if name == "sslcert" and key is None:
            continue  # the key is where libpq looks for it
        try:
            load(tls[name])
        except OSError as error:  # as ssl.SSLError is
            named = name if name != "sslcert" else f"sslkey={key} with {name}"
            raise ValueError(f"{named}={tls[name]} can't be used: {error.strerror}") from error
    if "sslcrl" in tls:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return context


def _require_file(name: str, path: str) -> None:
    try:
        with open(path, "rb"):
            return
    except OSError as error:
        raise ValueError(f"{name}={path} is no file that can be read") from error
