"""docs/integrating.md: its shop's server hands out a token and a pass, and they count."""

import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from flashsale.domain.sales import Sale
from loadtest.servers import free_port
from tests.integration.documented import documented
from tests.integration.gateway.embedded_gateway import open_gateway, until
from tests.integration.gateway.identity.signing import SECRET, bearer


@asynccontextmanager
async def documented_shop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Run the shop's server of the page."""
    monkeypatch.setenv("FLASHSALE_JWT_SECRET", SECRET)
    shop = types.ModuleType("shop")
    exec(compile(documented("login.py"), "docs/integrating.md", "exec"), shop.__dict__)
    runner = web.AppRunner(shop.app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_a_token_and_a_pass_of_the_documented_server_count(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        documented_shop(monkeypatch) as shop,
        open_gateway(sqlite_url, auth="jwt", jwt_secret=SECRET) as gateway,
        aiohttp.ClientSession(cookies={"session": "alice"}) as alice,
    ):
        await gateway.stack.ledger.create_sale(Sale("console", 5, needs_pass=True))
        gateway.drain()
        async with gateway.client.post(f"{shop}/token") as answer:
            assert answer.status == 401
        async with alice.post(f"{shop}/token") as answer:
            headers = bearer((await answer.json())["token"])
        body = {"sku": "console"}
        refused = await gateway.call("POST", "/orders", json=body, headers=headers)
        assert refused.problem == "pass-required"
        taken = []
        for _ in range(2):  # who asks for a second pass gets the same one
            async with alice.post(f"{shop}/passes/console") as answer:
                given = headers | {"Purchase-Pass": (await answer.json())["pass"]}
            taken.append(await gateway.call("POST", "/orders", json=body, headers=given))
        assert [answer.status for answer in taken] == [202, 202]
        assert taken[0].body["order_id"] == taken[1].body["order_id"]
        path = taken[0].headers["Location"]
        decided = await until(
            lambda: gateway.call("GET", path, headers=headers),
            lambda answer: answer.body["status"] != "queued",
        )
        assert decided.body["status"] == "confirmed"
        more = await gateway.call("POST", "/orders", json=body | {"quantity": 2}, headers=given)
        assert more.problem == "invalid-pass"
