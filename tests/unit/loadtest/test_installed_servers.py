"""Find installed servers, and report missing ones."""

import os
import subprocess
from pathlib import Path

import pytest

from loadtest.servers import Installation, ServerNotFound
from loadtest.servers.installed import ROOT_VARIABLE

TRIXIE = Path(__file__).parents[3] / "scripts/trixie"


def a_program(path: Path, script: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run_trixie(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/trixie with these replacements for programs."""
    for name, script in {"id": "echo 0", "unshare": "", **programs}.items():
        a_program(folder / "programs" / name, script)
    return subprocess.run(
        [TRIXIE, folder / "trixie"],
        env={"PATH": f"{folder / 'programs'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_servers_are_the_machines_unless_a_root_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    assert not Installation.chosen().elsewhere
    assert Installation.chosen().command("sh", "dash", "-c", "true")[1:] == ["-c", "true"]
    monkeypatch.setenv(ROOT_VARIABLE, "some/where")
    assert Installation.chosen() == Installation(Path("some/where").absolute())


def test_a_program_of_a_root_is_started_by_its_path_inside(tmp_path: Path) -> None:
    for version in ("16", "17"):
        a_program(tmp_path / f"usr/lib/postgresql/{version}/bin/initdb")
    for folder in ("usr/sbin", "usr/lib/rabbitmq/bin"):
        a_program(tmp_path / folder / "rabbitmq-server")
    installed = Installation(tmp_path)
    command = installed.command("initdb", "postgresql", "--help")
    assert command[0] == "unshare"
    assert command[-2:] == ["/usr/lib/postgresql/17/bin/initdb", "--help"]
    server = installed.command("rabbitmq-server", "rabbitmq-server")
    assert server[-1] == "/usr/lib/rabbitmq/bin/rabbitmq-server"
    with pytest.raises(ServerNotFound, match=f"no createdb in {tmp_path}: install postgresql"):
        installed.command("createdb", "postgresql")


def test_a_root_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ServerNotFound, match=f"there is no folder {tmp_path}/trixie"):
        Installation(tmp_path / "trixie").command("initdb", "postgresql")


def test_a_root_that_can_not_be_made_says_why_in_one_line(tmp_path: Path) -> None:
    done = run_trixie(tmp_path, id="echo 1000")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "only root" in done.stderr
    assert Installation(tmp_path / "trixie").missing == done.stderr.strip()


def test_a_root_that_can_not_be_made_leaves_no_half_of_it(tmp_path: Path) -> None:
    fails = 'mkdir "$7"; echo "E: no trixie there" >&2; exit 1'
    done = run_trixie(tmp_path, **{"apt-get": "echo bookworm file:/mirror", "mmdebstrap": fails})
    assert done.returncode == 1
    assert done.stderr.endswith("here: E: no trixie there\n")
    assert {path.name for path in tmp_path.iterdir()} == {"programs", "trixie.why"}


def test_a_root_is_made_once_from_the_machines_mirrors(tmp_path: Path) -> None:
    (tmp_path / "trixie.why").write_text("it rained\n")
    release = "echo bookworm http://mirror/; echo bookworm-updates http://other/"
    makes = 'mkdir "$7"; cat >"$7/sources"'
    for count in (1, 2):
        done = run_trixie(tmp_path, **{"apt-get": release, "mmdebstrap": makes})
        assert (done.returncode, done.stderr) == (0, "")
        assert ("making" in done.stdout) == (count == 1)
    sources = (tmp_path / "trixie/sources").read_text()
    assert sources == "deb http://mirror/ trixie main\n"
    assert {path.name for path in tmp_path.iterdir()} == {"programs", "trixie"}
