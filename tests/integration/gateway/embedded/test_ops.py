"""`/ops`: the operator's page and its samples."""

import re

import pytest
from pydantic import SecretStr

from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway, until

ADMIN = {"admin_token": SecretStr("let me in, please")}


async def test_the_ops_page_is_404_without_an_admin_token(gateway: EmbeddedGateway) -> None:
    for path in ("/ops", "/ops/samples", "/ops/ops.js"):
        answer = await gateway.call("GET", path)
        assert (answer.status, answer.body["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic ?", "Basic YWRtaW46", "Bearer let me", "Bearer \xff", "Digest x"],
)
async def test_the_ops_page_is_401_for_a_wrong_token(sqlite_url: str, authorization: str) -> None:
    async with open_gateway(sqlite_url, **ADMIN) as gateway:
        headers = {"Authorization": authorization}
        for path in ("/ops", "/ops/samples", "/ops/uplot.js"):
            answer = await gateway.call("GET", path, headers=headers)
            assert (answer.status, answer.body["type"]) == (401, "/problems/unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")


async def test_the_ops_samples_show_the_sale_second_by_second(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **ADMIN, queue_max_length=3) as gateway:
        headers = {"Authorization": "Bearer let me in, please"}

        async def samples(after: int = 0) -> Answer:
            return await gateway.call("GET", f"/ops/samples?after={after}", headers=headers)

        for _ in range(5):
            await gateway.order()  # three are accepted, then the queue is full
        await gateway.order(sku="gone")

        def seen(answer: Answer) -> list[int]:
            rows = [dict(zip(answer.body["fields"], row, strict=True)) for row in found(answer)]
            names = ("arrived", "accepted", "queue_full", "turned_away")
            return [sum(row[name] for row in rows) for name in names]

        def found(answer: Answer) -> list[list[int]]:
            rows: list[list[int]] = answer.body["samples"]
            return rows

        def latest(answer: Answer) -> dict[str, int]:
            return dict(zip(answer.body["fields"], found(answer)[-1], strict=True))

        await until(samples, lambda answer: seen(answer) == [6, 3, 2, 1])
        # The queue is counted ten times a second: the next second shows it at the latest.
        answer = await until(samples, lambda answer: latest(answer)["backlog"] == 3)
        assert (answer.body["backlog_limit"], answer.body["drain_rate"]) == (3, 2000)
        last = latest(answer)
        assert (last["stock_left"], last["decided"]) == (20, 0)
        assert all(row[0] > last["at"] for row in found(await samples(last["at"])))
        bad = await gateway.call("GET", "/ops/samples?after=x", headers=headers)
        assert bad.status == 400
        gateway.drain()
        decided = answer.body["fields"].index("decided")
        await until(samples, lambda answer: sum(row[decided] for row in found(answer)) == 3)


async def test_the_page_knows_who_looks_at_it_and_what_is_left_of_each_sale(
    sqlite_url: str,
) -> None:
    tokens = ADMIN | {"viewer_token": SecretStr("only look")}
    async with open_gateway(sqlite_url, **tokens) as gateway:
        for token, role in (("let me in, please", "operator"), ("only look", "viewer")):
            headers = {"Authorization": f"Bearer {token}"}

            async def samples(headers: dict[str, str] = headers) -> Answer:
                return await gateway.call("GET", "/ops/samples", headers=headers)

            answer = await until(samples, lambda answer: answer.body["samples"])
            assert (answer.body["role"], answer.body["paused"]) == (role, False)
        last = dict(zip(answer.body["fields"], answer.body["samples"][-1], strict=True))
        assert last["drain_limit"] == 2000
        assert last["left"] == {"early": 5, "gone": 0, "late": 5, "one-each": 5, "tv": 5}


async def test_each_script_of_the_page_is_served_under_a_strict_policy(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **ADMIN) as gateway:
        headers = {"Authorization": "Bearer let me in, please"}
        asked, pending = set[str](), ["ops.js"]
        while pending:
            asked.add(name := pending.pop())
            async with gateway.client.get(f"{gateway.url}/ops/{name}", headers=headers) as answer:
                assert (answer.status, answer.content_type) == (200, "text/javascript")
                assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
                imports = re.findall(r'from "\./(\w+\.js)"', await answer.text())
            pending += [found for found in imports if found not in asked]
        assert len(asked) == 12
        async with gateway.client.get(f"{gateway.url}/ops", headers=headers) as answer:
            page = await answer.text()
        assert not re.search(r"<script(?![^>]*src)|<style| style=| on\w+=", page)
