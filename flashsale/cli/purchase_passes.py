"""`flashsale pass`: make purchase passes, as a shop's server does."""

import json
import os
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from joserfc import jws, jwt
from joserfc.errors import InvalidKeyTypeError, JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OctKey, OKPKey, RSAKey

from flashsale.domain.customers import normal_customer_id
from flashsale.domain.orders import SKU_PATTERN
from flashsale.runtime.process import fail, settings_or_fail
from flashsale.runtime.settings import Settings
from flashsale.runtime.token_settings import SECRET_BYTES

_MOST = 1_000_000


def make_passes(
    sku: Annotated[str, typer.Argument(help="The item for sale, such as tv-55.")],
    count: Annotated[int, typer.Option(min=1, max=_MOST, help="How many passes.")] = 1,
    customer: Annotated[
        str | None, typer.Option(help="The only customer who may use them. Default: anyone.")
    ] = None,
    max_quantity: Annotated[
        int | None, typer.Option(min=1, max=1_000, help="Most items of the order.")
    ] = None,
    expires_in: Annotated[
        int, typer.Option(min=1, help="Seconds for which they are valid.", metavar="SECONDS")
    ] = 3_600,
    key: Annotated[
        Path | None,
        typer.Option(
            help="A private key, as a JWK or in PEM, to sign by. Default: FLASHSALE_JWT_SECRET.",
            metavar="FILE",
        ),
    ] = None,
    kid: Annotated[
        str | None, typer.Option(help="The id of the key in the key set, if FILE has none.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make purchase passes for tests, one a line. A shop's server makes its own."""
    if not re.match(SKU_PATTERN, sku):
        fail(f"{sku!r}: not a sku")
    settings = settings_or_fail()
    claims: dict[str, Any] = {"aud": sku, "exp": int(time.time()) + expires_in}
    if customer is not None:
        claims["sub"] = normal_customer_id(customer)
    if max_quantity is not None:
        claims["max_quantity"] = max_quantity
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    header, signing_key = _signer(settings, key, kid)
    passes = _passes(count, claims, header, signing_key)
    if as_json:
        print(json.dumps([{"pass": signed, **claimed} for signed, claimed in passes], indent=2))
        return
    for signed, _ in passes:
        print(signed)


def _passes(
    count: int, claims: dict[str, Any], header: dict[str, Any], key: Key
) -> Iterator[tuple[str, dict[str, Any]]]:
    algorithm = header["alg"]
    # That EdDSA has another name by now is no reason for a warning (RFC 9864).
    with warnings.catch_warnings(action="ignore"):
        for _ in range(count):
            claimed = {**claims, "jti": os.urandom(16).hex()}
            yield jwt.encode(header, claimed, key, algorithms=[algorithm]), claimed


def _signer(settings: Settings, file: Path | None, kid: str | None) -> tuple[dict[str, Any], Key]:
    """Return the header of the passes and the key to sign by, or end the process."""
    algorithms = settings.token_algorithms
    if file is None:
        if settings.jwt_secret is None:
            fail("nothing to sign by: set FLASHSALE_JWT_SECRET, or give a private key by --key")
        algorithm = next(name for name in algorithms if name in SECRET_BYTES)
        return {"alg": algorithm}, OctKey.import_key(settings.jwt_secret.get_secret_value())
    key = _private_key(file)
    for algorithm in algorithms:
        model = jws.JWSRegistry.algorithms[algorithm]
        try:
            model.check_key(key)
        except JoseError:
            continue
        named = kid or key.kid
        return {"alg": algorithm} | ({"kid": named} if named else {}), key
    fail(f"{file}: no algorithm in force signs by a key of its kind: {', '.join(algorithms)}")


def _private_key(file: Path) -> Key:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--key {file}: {error}")
    try:
        with warnings.catch_warnings(action="ignore"):
            key = _read_key(text)
    except (JoseError, ValueError, TypeError, KeyError):
        fail(f"--key {file}: neither a JWK nor a key in PEM without a password")
    if not key.is_private:
        fail(f"--key {file}: a private key signs, and this is none")
    return key


def _read_key(text: str) -> Key:
    """Return the key in a text. Raises `JoseError`, `ValueError`, `TypeError` or `KeyError`."""
    if text.lstrip().startswith("{"):
        return JWKRegistry.import_key(json.loads(text))
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            return kind.import_key(text)
        except InvalidKeyTypeError:
            continue
    raise ValueError("a key of another kind")
