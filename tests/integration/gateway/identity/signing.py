"""Tokens and passes as a shop signs them, and a login service with its set of keys."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from loadtest.servers import free_port

SECRET = "a secret of the shop, long enough"
_KEY = OctKey.import_key(SECRET)


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of alice's token; None leaves one out.

    A token that is made when a file of tests is imported lives until the last of them has run.
    """
    found = {"sub": "alice", "exp": int(time.time()) + 6 * 3600} | changes
    return {name: value for name, value in found.items() if value is not None}


def signed(
    claimed: Any,
    key: Key | bytes = _KEY,
    algorithm: str = "HS256",
    header: Mapping[str, Any] | None = None,
) -> str:
    """A signed token with any claims, any header, and any algorithm; bytes sign by HMAC."""
    head = {"alg": algorithm} | dict(header or {})
    signing_input = b".".join(_packed(json.dumps(part).encode()) for part in (head, claimed))
    if isinstance(key, bytes):
        signature = hmac.digest(key, signing_input, "sha256")
    else:
        signature = jws.JWSRegistry.algorithms[algorithm].sign(signing_input, key)
    return (signing_input + b"." + _packed(signature)).decode()


def token(**changes: Any) -> str:
    """A token of the shop by its secret."""
    return signed(claims(**changes))


def a_pass(sku: str = "tv", jti: str | None = "pass-1", **changes: Any) -> str:
    """A pass of the shop by its secret."""
    return token(**{"sub": None, "aud": sku, "jti": jti} | changes)


def bearer(a_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {a_token}"}


def _packed(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def a_key(kid: str, kind: str = "EC") -> Key:
    """A new pair of keys with an id."""
    parameters: Any = {"kid": kid, "use": "sig"}
    if kind == "RSA":
        return RSAKey.generate_key(2048, parameters)
    if kind == "OKP":
        return OKPKey.generate_key("Ed25519", parameters)
    return ECKey.generate_key("P-256", parameters)


@dataclass
class LoginService:
    """Answers with its set of keys, and counts how often it was asked."""

    port: int
    keys: list[Key] = field(default_factory=list)
    body: bytes | None = None
    status: int = 200
    asked: int = 0
    answering: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"

    def token(self, number: int = 0, **changes: Any) -> str:
        """A token that one of the keys signs."""
        key = self.keys[number]
        algorithm = {"RSA": "RS256", "OKP": "EdDSA", "EC": "ES256"}[key.key_type]
        return signed(claims(**changes), key, algorithm, {"kid": key.kid})

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.answering.wait()
        public = {"keys": [key.as_dict(private=False) for key in self.keys]}
        body = json.dumps(public).encode() if self.body is None else self.body
        return web.Response(body=body, status=self.status, content_type="application/json")


@asynccontextmanager
async def login_service(*keys: Key) -> AsyncIterator[LoginService]:
    """Run a login service with these keys."""
    service = LoginService(free_port(), list(keys))
    service.answering.set()
    app = web.Application()
    app.add_routes([web.get("/keys", service.answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", service.port).start()
    try:
        yield service
    finally:
        service.answering.set()
        await runner.cleanup()
