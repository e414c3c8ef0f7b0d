"""The settings of payments."""

import pytest
from pydantic import SecretStr

from flashsale.messages.standard_webhooks import new_secret, parse_secret
from flashsale.runtime.settings import Settings, SettingsError, load_settings

SECRET = f"whsec_{32 * 'A'}"


def test_no_payment_is_taken_in_without_a_secret() -> None:
    settings = Settings(demo_payments=False)
    assert (settings.payment_keys, settings.pay_address) == ((), None)


def test_several_secrets_have_spaces_between(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = new_secret(), new_secret()
    monkeypatch.setenv("FLASHSALE_PAYMENT_SECRET", f" {first}  {second} ")
    assert load_settings().payment_keys == (parse_secret(first), parse_secret(second))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PAYMENT_SECRET", "hunter2", "begins with whsec_"),
        ("PAYMENT_SECRET", "whsec_AAAA", "24 to 64 bytes"),
        ("PAYMENT_SECRET", f"{SECRET} whsec_!", "not base64"),
        ("PAY_URL", "https://pay.example/", "must have the field {order_id}"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(f"FLASHSALE_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert message.startswith(f"FLASHSALE_{name}=")
    assert reason in message
    assert "\n" not in message
    assert name == "PAY_URL" or value not in message


def test_spaces_are_no_secret() -> None:
    with pytest.raises(ValueError, match="must have a secret"):
        Settings(payment_secret=SecretStr(" "))
