"""Sign purchase passes, by the secret of the settings or by a private key from a file."""

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import InvalidKeyTypeError, JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OctKey, OKPKey, RSAKey

from flashsale.runtime.process import fail
from flashsale.runtime.setting_groups.tokens import SECRET_BYTES
from flashsale.runtime.settings import Settings


def signed_passes(
    count: int, claims: dict[str, Any], header: dict[str, Any], key: Key
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield so many passes, each with its claims: those given, and a `jti` of its own."""
    algorithm = header["alg"]
    # That EdDSA has another name by now is no reason for a warning (RFC 9864).
    with warnings.catch_warnings(action="ignore"):
        for _ in range(count):
            claimed = {**claims, "jti": os.urandom(16).hex()}
            yield jwt.encode(header, claimed, key, algorithms=[algorithm]), claimed


def signer(settings: Settings, file: Path | None, kid: str | None) -> tuple[dict[str, Any], Key]:
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
