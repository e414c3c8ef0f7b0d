"""The audit of dependencies: what it says if there are advisories, if not, and if one applies."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/audit-dependencies"
# A pip-audit that knows what the test says: urllib3's old flaw, and one in the locked packages.
FAKE = """#!/bin/sh
case "$*" in
    *vulnerable*) if {advisories}; then echo "urllib3 1.24.1 CVE-2019-11324"; exit 1; fi ;;
    *) if {flaw}; then echo "aiohttp 3.0 CVE-1"; exit 1; fi ;;
esac
echo "{reason}" >&2
exit {status}
"""


def audit(
    folder: Path, *, advisories: bool, flaw: bool = False, status: int = 0
) -> subprocess.CompletedProcess[str]:
    (folder / "scripts").mkdir()
    shutil.copy(SCRIPT, folder / "scripts")
    program = folder / ".venv/audit/bin/pip-audit"
    program.parent.mkdir(parents=True)
    text = FAKE.format(
        advisories=str(advisories).lower(), flaw=str(flaw).lower(), reason="no way", status=status
    )
    program.write_text(text)
    program.chmod(0o755)
    return subprocess.run(
        [folder / "scripts/audit-dependencies"], capture_output=True, text=True, check=False
    )


def test_packages_without_a_known_vulnerability_pass(tmp_path: Path) -> None:
    done = audit(tmp_path, advisories=True)
    assert done.returncode == 0
    assert done.stdout == "requirements-dev.lock: no known vulnerability, says pypi\n"


def test_a_known_vulnerability_fails_and_is_shown(tmp_path: Path) -> None:
    done = audit(tmp_path, advisories=True, flaw=True)
    assert done.returncode == 1
    assert "CVE-1" in done.stdout


@pytest.mark.parametrize("status", [0, 1], ids=["an index without advisories", "no network"])
def test_without_advisories_nothing_is_called_audited(tmp_path: Path, status: int) -> None:
    done = audit(tmp_path, advisories=False, status=status)
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.startswith("NOT AUDITED: no source of advisories answers: pypi: ")
    assert ("no way" in done.stderr) == (status == 1)
