"""The shopper's page and its assets."""

import pytest

from tests.integration.gateway.embedded_gateway import EmbeddedGateway


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/shop.js", "text/javascript; charset=utf-8"),
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
