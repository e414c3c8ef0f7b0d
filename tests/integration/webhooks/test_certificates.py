"""Webhooks go over TLS to those who have a certificate for the name of the endpoint."""

import ssl
from pathlib import Path

import pytest

from flashsale.domain.webhooks.deliveries import AttemptResult
from loadtest.servers.certificates import Authority, Certificate
from tests.integration.webhooks.receiver import a_receiver
from tests.integration.webhooks.test_private_addresses import resolves_to, sent


def serving(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context


@pytest.mark.parametrize(
    ("host", "trusted", "error"),
    [
        ("shop.internal", True, None),
        ("other.internal", True, "Hostname mismatch"),
        ("shop.internal", False, "unable to get local issuer certificate"),
    ],
)
async def test_a_certificate_is_verified(
    host: str, trusted: bool, error: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("shop.internal", "DNS:shop.internal")
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.root.certificate))
    async with a_receiver(serving(certificate)) as receiver:
        url = f"https://{host}:{receiver.port}/hook"
        attempt = await sent(resolves_to(["127.0.0.1"]), url, webhook_allow_private=True)
        if error is None:
            assert attempt.result is AttemptResult.DELIVERED
            assert len(receiver.received) == 1
        else:
            assert attempt.result is AttemptResult.FAILED
            assert attempt.error is not None
            assert attempt.error.startswith(f"TLS failed: {error}")
            assert receiver.received == []
