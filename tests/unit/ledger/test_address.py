"""FLASHSALE_DATABASE_URL with the parameters of libpq."""

from pathlib import Path

import pytest

from flashsale.ledger import postgres_address

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
    root = tmp_path / "root & more.crt"
    root.touch()
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
        ("options=-cjit=off", "unknown parameter options"),
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
