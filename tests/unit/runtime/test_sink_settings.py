"""The settings of the HTTP sink: checked at start, one clear line each, and no secret shown."""

import os
from base64 import b64encode

import pytest

from flashsale.runtime.settings import SettingsError, load_settings
from flashsale.sinks.http.address import ReceiverAddress

KEY = bytes(range(32))
SECRET = "whsec_" + b64encode(KEY).decode()


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("FLASHSALE_"):
            monkeypatch.delenv(name)


def message_of(monkeypatch: pytest.MonkeyPatch, **settings: str) -> str:
    """Return why a process does not start with these settings."""
    for name, value in settings.items():
        monkeypatch.setenv(f"FLASHSALE_SINK_{name.upper()}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert "\n" not in message
    assert KEY.hex() not in message
    assert SECRET not in message
    return message


def test_without_a_url_there_is_no_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().receiver is None
    monkeypatch.setenv("FLASHSALE_SINK_SECRET", SECRET)
    assert load_settings().receiver is None


def test_the_settings_make_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHSALE_SINK_URL", "https://shop.example/orders?shop=1")
    monkeypatch.setenv("FLASHSALE_SINK_SECRET", SECRET)
    found = load_settings().receiver
    assert found == ReceiverAddress("https://shop.example/orders?shop=1", KEY, 64, 10.0, None)
    assert not found.batched
    for name, value in (("CONCURRENCY", "8"), ("TIMEOUT_SECONDS", "2.5"), ("BATCH", "50")):
        monkeypatch.setenv(f"FLASHSALE_SINK_{name}", value)
    found = load_settings().receiver
    assert found == ReceiverAddress("https://shop.example/orders?shop=1", KEY, 8, 2.5, 50)
    assert found.batched


def test_a_batch_of_one_is_no_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHSALE_SINK_URL", "http://127.0.0.1:8000/")
    monkeypatch.setenv("FLASHSALE_SINK_SECRET", SECRET)
    monkeypatch.setenv("FLASHSALE_SINK_BATCH", "1")
    found = load_settings().receiver
    assert found is not None
    assert not found.batched


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://shop.example/", "must be an absolute http or https URL"),
        ("shop.example/orders", "must be an absolute http or https URL"),
        ("/orders", "must be an absolute http or https URL"),
        ("https://", "must be an absolute http or https URL"),
        ("https:///orders", "must be an absolute http or https URL"),
        ("https://shop.example/a b", "must be an absolute http or https URL"),
        ("https://shop.example/a\nb", "must be an absolute http or https URL"),
        ("https://shop.example:0/", "must be an absolute http or https URL"),
        ("https://shop.example:99999/", "must be a URL such as https://shop.example/orders"),
        ("https://[::1", "must be a URL such as https://shop.example/orders"),
        ("https://shop.example/#orders", "must have no fragment"),
        ("'https://shop.example/'", "the quotes are part of the value"),
    ],
)
def test_a_url_that_no_request_can_go_to_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    message = message_of(monkeypatch, url=url, secret=SECRET)
    assert message.startswith("FLASHSALE_SINK_URL=")
    assert words in message


def test_a_password_in_the_url_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    message = message_of(monkeypatch, url="https://me:hunter2@shop.example/", secret=SECRET)
    assert "must have no user and no password" in message
    assert "hunter2" not in message


def test_a_url_needs_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    message = message_of(monkeypatch, url="https://shop.example/orders")
    assert message == "FLASHSALE_SINK_URL needs FLASHSALE_SINK_SECRET as well"


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("hunter2", "a secret begins with whsec_"),
        ("whsec_hunter2!", "what follows whsec_ is not base64"),
        ("whsec_aHVudGVyMg==", "a secret has 24 to 64 bytes, this one 7"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, secret: str, words: str
) -> None:
    message = message_of(monkeypatch, url="https://shop.example/orders", secret=secret)
    assert message.startswith("FLASHSALE_SINK_SECRET=...: ")
    assert words in message
    assert "hunter2" not in message
    assert "aHVudGVyMg" not in message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("concurrency", "0", "greater than or equal to 1"),
        ("concurrency", "many", "valid integer"),
        ("timeout_seconds", "0", "greater than 0"),
        ("timeout_seconds", "301", "less than or equal to 300"),
        ("timeout_seconds", "nan", "less than or equal to 300"),
        ("batch", "0", "greater than or equal to 1"),
        ("batch", "1001", "less than or equal to 1000"),
    ],
)
def test_a_number_out_of_its_range_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    message = message_of(monkeypatch, **{name: value})
    assert message.startswith(f"FLASHSALE_SINK_{name.upper()}={value}: ")
    assert words in message
