"""FLASHSALE_DATABASE_URL with the parameters of libpq."""

import ssl
import subprocess
from pathlib import Path

import pytest

from flashsale.ledger import postgres_address
from loadtest.servers import Authority

BASE = "postgresql+asyncpg://ann:p%40ss@"


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        (f"{BASE}db/shop", (("db", 5432),)),
        (f"{BASE}db:6432/shop", (("db", 6432),)),
        (f"{BASE}[::1]:6432/shop", (("::1", 6432),)),
        (f"{BASE}a:5432,b:5433/shop", (("a", 5432), ("b", 5433))),
        (f"{BASE}a,[::1]:5433,c/shop", (("a", 5432), ("::1", 5433), ("c", 5432))),
        (f"{BASE}a,b/shop?port=6432", (("a", 6432), ("b", 6432))),
        (f"{BASE}/shop?host=a,b", (("a", 5432), ("b", 5432))),
        (f"{BASE}/shop?host=a,b&port=1,2", (("a", 1), ("b", 2))),
        (f"{BASE}/shop?host=a:1&host=b:2", (("a", 1), ("b", 2))),
        (f"{BASE}/shop?host=/run/postgresql", (("/run/postgresql", 5432),)),
        (f"{BASE}/shop", ((None, 5432),)),
        (f"{BASE}%2Frun%2Fpostgresql:5433/shop", (("/run/postgresql", 5433),)),
        (f"{BASE}m\u00fcnchen.example/shop", (("m\u00fcnchen.example", 5432),)),
    ],
)
def test_hosts_of_an_address(url: str, hosts: tuple[tuple[str | None, int], ...]) -> None:
    address = postgres_address(url)
    assert address.hosts == hosts
    assert address.parameters["user"] == "ann"
    assert address.parameters["password"] == "p@ss"
    assert address.parameters["database"] == "shop"
    assert "dsn" not in address.parameters


def test_parameters_of_libpq_are_passed_on(tmp_path: Path) -> None:
    root = Authority(tmp_path).root.certificate.rename(tmp_path / "root & more.crt")
    address = postgres_address(
        f"{BASE}a,b/shop?sslmode=verify-full&sslrootcert={root}&application_name=till"
        "&connect_timeout=3&target_session_attrs=read-write".replace(" & ", "%20%26%20")
    )
    assert address.application_name == "till"
    assert address.parameters["timeout"] == 3.0
    assert address.parameters["target_session_attrs"] == "read-write"
    dsn = address.parameters["dsn"]
    assert dsn.startswith("postgresql://?sslmode=verify-full&sslrootcert=")
    assert dsn.endswith("root+%26+more.crt")


def test_the_name_of_asyncpg_for_sslmode_is_read_too() -> None:
    dsn = postgres_address(f"{BASE}db/shop?ssl=require").parameters["dsn"]
    assert dsn == "postgresql://?sslmode=require"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sslmod=require", "unknown parameter sslmod"),
        ("requirepeer=postgres", "unknown parameter requirepeer"),
        ("channel_binding=require", "channel_binding=require must be one of prefer, disable"),
        ("gssencmode=require", "gssencmode=require must be one of prefer, disable"),
        ("client_encoding=latin1", "client_encoding=latin1 must be one of auto"),
        ("passfile=/no/such/file", "passfile=/no/such/file is no file"),
        ("sslrootcert=/etc/hostname", "sslrootcert=/etc/hostname can't be used"),
        ("sslcrl=/etc/hostname", "sslcrl=/etc/hostname can't be used"),
        ("sslcert=/etc/hostname&sslkey=/etc/passwd", "sslkey=/etc/passwd with sslcert="),
        ("sslrootcert=system&sslmode=require", "sslmode=require must be verify-full"),
        ("host=exa..mple", "host=exa..mple is no name of a host"),
        ("port=0", "port=0 must be from 1 to 65535"),
        ("host=a:70000", "port=70000 must be from 1 to 65535"),
        ("sslmode=maybe", "sslmode=maybe must be one of disable, allow"),
        ("sslrootcert=/no/such/file", "sslrootcert=/no/such/file is no file"),
        ("sslkey=/etc/hostname", "sslkey needs sslcert"),
        ("target_session_attrs=standby", "target_session_attrs=standby must be one of any"),
        ("connect_timeout=soon", "connect_timeout=soon must be a number of seconds"),
        ("connect_timeout=0", "connect_timeout=0 must be a number of seconds"),
        ("port=x", "port=x must be one number"),
        ("host=a,b,c&port=1,2", "port=1,2 must be one number, or one for each host"),
        ("host=a,,b", "host= must be a host"),
        ("host=a:b", "host=a:b must be a host"),
    ],
)
def test_a_wrong_parameter_is_named(query: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        postgres_address(f"{BASE}db/shop?{query}")


def test_a_password_with_an_at_sign_that_is_not_escaped_is_named_and_not_shown() -> None:
    with pytest.raises(ValueError, match="must be written as %40") as caught:
        postgres_address("postgresql+asyncpg://ann:hunt@er2@db/shop")
    assert "er2" not in str(caught.value)


def test_values_that_ask_for_what_is_done_anyhow_are_accepted(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch()
    address = postgres_address(
        f"{BASE}db/shop?channel_binding=prefer&gssencmode=disable&client_encoding=utf8&sslsni=1"
        f"&fallback_application_name=till&passfile={passwords}&options=-c%20work_mem%3D8MB"
    )
    assert address.application_name == "till"
    assert address.startup == {"options": "-c work_mem=8MB"}
    assert address.parameters["passfile"] == str(passwords)


def test_the_authorities_of_the_machine_are_those_of_sslrootcert_system() -> None:
    parameters = postgres_address(f"{BASE}db/shop?sslrootcert=system").parameters
    assert "sslmode=verify-full" in parameters["dsn"]
    assert parameters["ssl"].check_hostname
    assert parameters["ssl"].verify_mode is ssl.CERT_REQUIRED


def test_a_key_with_another_password_is_refused_without_a_prompt(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("ann")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", own.key, "-aes256", "-passout", "pass:right", "-out", locked],
        check=True,
        capture_output=True,
    )
    both = f"{BASE}db/shop?sslmode=require&sslcert={own.certificate}&sslkey={locked}"
    assert "dsn" in postgres_address(f"{both}&sslpassword=right").parameters
    for query in (both, f"{both}&sslpassword=wrong"):
        with pytest.raises(ValueError, match=f"sslkey={locked} with sslcert=.* can't be used"):
            postgres_address(query)
