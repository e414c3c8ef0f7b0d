"""The demonstration of a payment page: never where there is money."""

import pytest

from flashsale.runtime.settings import Settings, SettingsError, load_settings

REAL = "amqp://rabbit/"
SECRET = f"whsec_{32 * 'A'}"
PAY_URL = "https://pay.example/{order_id}"


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER_URL", "PAY_URL", "PAYMENT_SECRET", "DEMO_PAYMENTS", "PUBLIC_PATH"):
        monkeypatch.delenv(f"FLASHSALE_{name}", raising=False)


def address(settings: Settings) -> str | None:
    known = settings.pay_address
    return None if known is None else known.of("a1", "tv", 1)


def test_orders_are_paid_on_the_demonstration_page_in_the_embedded_mode() -> None:
    settings = Settings()
    assert settings.demonstrates_payments
    assert address(settings) == "/demo/pay/a1"
    assert address(Settings(public_path="/flash")) == "/flash/demo/pay/a1"


@pytest.mark.parametrize(
    "changes",
    [
        {"broker_url": REAL},
        {"pay_url": PAY_URL},
        {"payment_secret": SECRET},
        {"demo_payments": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_there_is_no_demonstration_elsewhere(changes: dict[str, str]) -> None:
    settings = Settings(**changes)  # type: ignore[arg-type]
    assert not settings.demonstrates_payments
    assert address(settings) == ("https://pay.example/a1" if "pay_url" in changes else None)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BROKER_URL", REAL, "needs FLASHSALE_BROKER_URL=memory://"),
        ("PAY_URL", PAY_URL, "can't be set with FLASHSALE_PAY_URL or"),
        ("PAYMENT_SECRET", SECRET, "can't be set with FLASHSALE_PAY_URL or"),
    ],
)
def test_a_process_that_may_take_money_does_not_start_with_a_demonstration(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"FLASHSALE_{name}", value)
    load_settings()
    monkeypatch.setenv("FLASHSALE_DEMO_PAYMENTS", "true")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith("FLASHSALE_DEMO_PAYMENTS: anybody could pay without money")
    assert words in str(caught.value)
    assert "whsec_" not in str(caught.value)
