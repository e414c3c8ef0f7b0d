"""The house rules: rooms stay small, imports go one way, and each process starts by itself."""

import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("flashsale", "gateway", "consumer", "services", "loadtest", "grafana", "tests")
LONGEST_FILE = 300
LARGEST_FOLDER = 15


def python_files() -> list[Path]:
    return [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]


def test_no_file_outside_the_tests_has_more_than_one_idea() -> None:
    lines = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines())
        for file in python_files()
        if not file.is_relative_to(ROOT / "tests")
    }
    assert {name: count for name, count in lines.items() if count > LONGEST_FILE} == {}


def test_no_folder_is_a_heap() -> None:
    files = Counter(str(file.parent.relative_to(ROOT)) for file in python_files())
    assert {name: count for name, count in files.items() if count > LARGEST_FOLDER} == {}


def test_one_layers_contract_holds_without_exceptions() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    assert sum(contract["type"] == "layers" for contract in contracts) == 1
    assert [contract["name"] for contract in contracts if "ignore_imports" in contract] == []


@pytest.mark.parametrize("process", ["gateway", "consumer", "services"])
def test_a_process_imports_neither_the_command_line_nor_another_process(process: str) -> None:
    others = {"gateway", "consumer", "services", "loadtest", "flashsale.cli"} - {process}
    program = (
        f"import sys, {process}.__main__\nprint(*sorted({others!r} & {{m for m in sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []
