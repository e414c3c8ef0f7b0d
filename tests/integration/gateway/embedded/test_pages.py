"""The shopper's page and its assets."""

import pytest

from flashsale.domain.sales import Sale
from tests.integration.gateway.embedded_gateway import EmbeddedGateway


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/client.js", "text/javascript; charset=utf-8"),
        *(
            (f"/page/{name}.js", "text/javascript; charset=utf-8")
            for name in ("hold", "memory", "sale", "shop", "words")
        ),
        ("/demo/pay/" + "0" * 32, "text/html; charset=utf-8"),
        ("/demo/pay.js", "text/javascript; charset=utf-8"),
        ("/page/shop.css", "text/css; charset=utf-8"),
        ("/page/shop.svg", "image/svg+xml"),
    ],
)
async def test_the_page_is_served_with_a_strict_content_security_policy(
    gateway: EmbeddedGateway, path: str, content_type: str
) -> None:
    async with gateway.client.get(gateway.url + path) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        tag = answer.headers["ETag"]
        text = await answer.text()
    # Nothing comes from elsewhere.
    assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    async with gateway.client.get(gateway.url + path, headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with gateway.client.head(gateway.url + path) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert int(answer.headers["Content-Length"]) == len(text.encode())


async def test_the_page_may_show_pictures_of_the_sites_of_its_sales_and_no_others(
    gateway: EmbeddedGateway,
) -> None:
    async with gateway.client.get(gateway.url) as answer:
        assert "img-src 'self';" in answer.headers["Content-Security-Policy"]
        before = answer.headers["ETag"]
    for sku, url in (("a", "https://cdn.example.com/a.png"), ("b", "/b.png")):
        await gateway.stack.ledger.create_sale(Sale(sku, 1, picture_url=url))
        await gateway.call("GET", f"/sales/{sku}")
    # The page that a browser has kept has another policy.
    async with gateway.client.get(gateway.url, headers={"If-None-Match": before}) as answer:
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
        assert "img-src 'self' https://cdn.example.com;" in policy
    async with gateway.client.get(f"{gateway.url}/page/shop.js") as answer:
        assert "img-src 'self';" in answer.headers["Content-Security-Policy"]
