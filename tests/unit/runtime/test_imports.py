"""What a command imports: what takes long to import is imported by who needs it."""

import subprocess
import sys

import pytest

_SHOWN = (
    "import sys, {module}; print(*{names} & {{name.partition('.')[0] for name in sys.modules}})"
)


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [
        ("flashsale.cli.main", {"aiohttp", "alembic", "joserfc", "locust", "matplotlib"}),
        ("consumer.app", {"aiohttp", "alembic", "joserfc"}),
        ("services.app", {"aiohttp", "alembic", "joserfc"}),
        ("gateway.app", {"alembic"}),
    ],
)
def test_a_process_imports_no_library_that_it_does_not_need(
    module: str, unneeded: set[str]
) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", _SHOWN.format(module=module, names=unneeded)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == []
