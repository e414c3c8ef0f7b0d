"""Settings: typed, validated, and every wrong value one clear line."""

import subprocess
import sys

import pytest
from pydantic_settings import BaseSettings

from flashsale.runtime.settings import Settings, SettingsError, load_settings
from flashsale.runtime.settings_reader import installed_settings, load, variables
from flashsale.runtime.settings_table import settings_table, unknown_settings
from services.builtin.mail.settings import MailSettings


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("FLASHSALE_"):
            monkeypatch.delenv(name)


def test_the_defaults_are_the_sale_of_the_readme() -> None:
    settings = load_settings()
    assert settings.embedded
    assert (settings.queue_max_length, settings.drain_rate) == (2000, 2000)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DRAIN_RATE", "fast", "valid integer"),
        ("DRAIN_RATE", "0", "greater than or equal to 1"),
        ("DRAIN_RATE", "2.5", "valid integer"),
        ("QUEUE_MAX_LENGTH", "-1", "greater than or equal to 1"),
        ("QUEUE_TYPE", "lazy", "'classic' or 'quorum'"),
        ("BROKER_URL", "http://rabbit", "memory://, amqp://"),
        ("BROKER_URL", "amqp://a/,http://b/", "several of the last two with commas between"),
        ("BROKER_URL", "amqp://a/,", "memory://, amqp://"),
        ("BROKER_URL", "amqp://a/,memory://", "memory://, amqp://"),
        ("BROKER_URL", "amqp://a:5672,b:5672/", "memory://, amqp://"),
        ("BROKER_URL", "amqp://a/?heartbeat=abc", "heartbeat"),
        ("BROKER_URL", "amqp://a/?heartbeat=65536", "heartbeat=65536 must be at most 65535"),
        ("BROKER_URL", "amqp://a/?frame_max=1", "frame"),
        ("BROKER_URL", "amqp://a/?colour=red", "Unknown URL parameter"),
        ("BROKER_URL", "amqp://b/,amqp://a/?channel_max=0", "channel_max"),
        ("BROKER_URL", "amqps://a/?ssl_options=nonsense", "wrong parameter"),
        ("BROKER_URL", "amqps://a/?ssl_options={'ca_certs':'/no/such'}", "No such file"),
        ("BROKER_URL", "amqp://exa..mple/", "exa..mple is no name of a host"),
        ("BROKER_URL", "amqp://a/" + 256 * "v", "virtual host of at most 255 bytes"),
        ("DATABASE_SCHEMA", "Shop", "pattern"),
        ("DATABASE_SCHEMA", "pg_shop", "names pg_... and information_schema for itself"),
        ("DATABASE_SCHEMA", "information_schema", "names pg_... and information_schema"),
        ("DATABASE_URL", "postgres://db/shop", "postgresql+asyncpg://"),
        ("DATABASE_URL", "sqlite+aiosqlite://", "must name a file"),
        ("GATEWAY_HOST", "0.0.0.0:8080", "without brackets and port"),
        ("METRICS_HOST", "[::1]", "without brackets and port"),
        ("METRICS_HOST", "exa..mple", "the name of a host"),
        ("GATEWAY_PORT", "70000", "less than or equal to 65535"),
        ("PUBLISH_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("BROKER_PREFIX", "a b", "pattern"),
        ("KEEP_ALIVE_SECONDS", "0", "greater than 0"),
        ("PUBLIC_PATH", "flash", "must be a path such as /flash"),
        ("PUBLIC_PATH", "/a/../b", "must be a path such as /flash"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy", "addresses or networks such as"),
        ("HEADER_SECONDS", "601", "less than or equal to 600"),
        ("CORS_ORIGINS", "*", "exact origins as browsers send them"),
        ("CORS_ORIGINS", "null", "exact origins as browsers send them"),
        ("CORS_ORIGINS", "https://shop.example/", "exact origins as browsers send them"),
        ("CORS_ORIGINS", "https://shop.example:443", "exact origins as browsers send them"),
        ("CORS_ORIGINS", "https://Shop.example", "exact origins as browsers send them"),
        ("CORS_ORIGINS", "https://a.example,shop.example", "exact origins as browsers send them"),
        ("AUTH", "basic", "'none' or 'jwt'"),
        ("AUTH", "jwt", "set FLASHSALE_JWT_SECRET or FLASHSALE_JWKS_URL as well"),
        ("JWKS_URL", "login.example/keys", "pattern"),
        ("JWT_ALGORITHMS", "none", "must be some of HS256, HS384"),
        ("JWT_ALGORITHMS", "HS256,hs512", "must be some of HS256, HS384"),
        ("LOG_FORMAT", "xml", "'console' or 'json'"),
        ("DRAIN_BATCH", "2001", "must not be over the drain rate (2000)"),
        ("SMTP_URL", "http://mail", "smtps?://"),
        ("SMTP_CONNECTIONS", "0", "greater than or equal to 1"),
        ("MAIL_TO", "nobody", "customer_id"),
        ("MAIL_LATENCY_MS", "60001", "less than or equal to 60000"),
        ("LOYALTY_LATENCY_MS", "-1", "greater than or equal to 0"),
        ("RANKING_LATENCY_MS", "slow", "valid integer"),
    ],
)
def test_a_wrong_value_names_the_variable_the_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"FLASHSALE_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert message.startswith(f"FLASHSALE_{name}={value}: ")
    assert words in message
    assert "\n" not in message


def test_wrong_values_of_the_gateway_and_of_services_are_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DRAIN_RATE", "SMTP_CONNECTIONS", "RANKING_LATENCY_MS"):
        monkeypatch.setenv(f"FLASHSALE_{name}", "many")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    found = [part.partition("=")[0] for part in str(caught.value).split("; ")]
    assert found == [
        *("FLASHSALE_DRAIN_RATE", "FLASHSALE_SMTP_CONNECTIONS", "FLASHSALE_RANKING_LATENCY_MS"),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "too-short"),
        ("JWT_SECRET", "too-short"),
        ("JWKS_URL", "ftp://me:hunter2@login/keys"),
        ("DATABASE_URL", "mysql://me:hunter2@db/shop"),
        ("BROKER_URL", "amqp://me:hunter2@a/,http://me:hunter2@b/"),
        ("SMTP_URL", "http://me:hunter2@mail/"),
    ],
)
def test_a_settings_error_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FLASHSALE_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "too-short" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("algorithms", "secret", "keys", "words"),
    [
        ("RS256", True, False, "must have one for FLASHSALE_JWT_SECRET"),
        ("HS256,RS256", True, False, "RS256 needs FLASHSALE_JWKS_URL"),
        ("HS256", False, True, "HS256 needs FLASHSALE_JWT_SECRET"),
        ("ES256,HS256", False, True, "HS256 needs FLASHSALE_JWT_SECRET"),
        ("HS256", True, True, "must have one for FLASHSALE_JWKS_URL"),
    ],
)
def test_each_algorithm_has_its_key_and_each_key_its_algorithm(
    monkeypatch: pytest.MonkeyPatch, algorithms: str, secret: bool, keys: bool, words: str
) -> None:
    monkeypatch.setenv("FLASHSALE_JWT_ALGORITHMS", algorithms)
    if secret:
        monkeypatch.setenv("FLASHSALE_JWT_SECRET", "x" * 32)
    if keys:
        monkeypatch.setenv("FLASHSALE_JWKS_URL", "https://login.example/keys")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == f"FLASHSALE_JWT_ALGORITHMS={algorithms}: {words}"


def test_a_secret_is_as_long_as_its_algorithm_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHSALE_JWT_SECRET", "x" * 48)
    monkeypatch.setenv("FLASHSALE_JWT_ALGORITHMS", " HS256, HS384 ")
    assert load_settings().token_algorithms == ("HS256", "HS384")
    monkeypatch.setenv("FLASHSALE_JWT_ALGORITHMS", "HS512")
    with pytest.raises(SettingsError, match="must have 64 bytes or more for HS512"):
        load_settings()


def test_each_kind_of_key_has_default_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().token_algorithms == ()
    monkeypatch.setenv("FLASHSALE_JWT_SECRET", "x" * 32)
    assert load_settings().token_algorithms == ("HS256",)
    monkeypatch.setenv("FLASHSALE_JWKS_URL", "https://login.example/keys")
    assert load_settings().token_algorithms == ("HS256", "RS256", "ES256", "EdDSA")


def test_broker_url_may_have_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHSALE_BROKER_URL", "amqp://a:5672/,amqps://b/, amqp://c/sales")
    assert not load_settings().embedded


def test_an_unknown_setting_is_found() -> None:
    environment = {"FLASHSALE_DRAIN_RATES": "1", "FLASHSALE_DRAIN_RATE": "1", "HOME": "/"}
    assert unknown_settings(environment) == ["FLASHSALE_DRAIN_RATES"]


def test_a_setting_of_a_service_is_known() -> None:
    environment = {"FLASHSALE_MAIL_FOLDER": "m", "FLASHSALE_MAIL_FOLDERS": "m"}
    assert unknown_settings(environment) == ["FLASHSALE_MAIL_FOLDERS"]


def test_a_service_reads_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHSALE_MAIL_FOLDER", "letters")
    assert load(MailSettings).mail_folder == "letters"


def test_the_settings_table_has_every_setting() -> None:
    table = settings_table()
    declared: list[type[BaseSettings]] = [Settings, *installed_settings()]
    names = [name for each in declared for name in variables(each)]
    assert len(names) == len(set(names)) > len(Settings.model_fields)
    assert all(table.count(f"| `{name}` |") == 1 for name in names)


def test_a_process_knows_the_settings_of_mail_without_a_mail_client() -> None:
    code = (
        "import sys, flashsale.runtime.settings as s, flashsale.runtime.stack as t\n"
        "s.load_settings(); t.installed_ranking()\n"
        "assert 'services.builtin.mail.settings' in sys.modules\n"
        "assert 'aiosmtplib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    # As Compose passes `${FLASHSALE_SECRET_KEY:-}` on.
    monkeypatch.setenv("FLASHSALE_SECRET_KEY", "")
    assert load_settings().secret_key is None


@pytest.mark.parametrize("blank", [" ", "\r", "\t", "\r\n"])
def test_white_space_around_a_value_does_not_count(
    monkeypatch: pytest.MonkeyPatch, blank: str
) -> None:
    """A file of variables with Windows' ends of lines has one after each value."""
    for name, value in {
        "SECRET_KEY": "0123456789abcdef",
        "BROKER_PREFIX": "shop.",
        "DATABASE_URL": "postgresql+asyncpg://db/shop",
        "GATEWAY_PORT": "tcp://10.96.7.3:80",
        "DRAIN_RATE": "",
    }.items():
        monkeypatch.setenv(f"FLASHSALE_{name}", f"{blank}{value}{blank}")
    settings = load_settings()
    assert settings.secret_key is not None
    assert settings.secret_key.get_secret_value() == "0123456789abcdef"
    assert settings.broker_prefix == "shop."
    assert settings.database_url == "postgresql+asyncpg://db/shop"
    assert (settings.gateway_port, settings.drain_rate) == (8080, 2000)


def test_quotes_that_an_env_file_leaves_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHSALE_BROKER_URL", "'amqp://me:hunter2@a/'")
    with pytest.raises(SettingsError, match="the quotes are part of the value") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_a_user_of_the_broker_without_a_password_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHSALE_BROKER_URL", "amqp://shop@a/")
    with pytest.raises(SettingsError, match="must have a password after the user"):
        load_settings()


def test_the_case_of_a_name_does_not_count() -> None:
    environment = {"FLASHSALE_drain_rate": "1", "flashsale_drain_rate": "1", "flashsale_rate": "1"}
    assert unknown_settings(environment) == ["flashsale_rate"]
