"""The Compose file, run by Compose, and what a shopper and an operator do with it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.compose.engine import DockerFailed, Engine
from tests.image.ingredients import ROOT

_HERE = Path(__file__).parent
NAME = "flashsale-test"


class Project:
    """A project of docker-compose.yml without Grafana."""

    def __init__(
        self, engine: Engine, folder: Path, variables: dict[str, str], checkout: Path = ROOT
    ) -> None:
        """Prepare; `up` starts it. `folder` is a home folder, `variables` are those of `.env`."""
        self.docker = engine
        self._checkout = checkout
        self.prometheus = f"http://127.0.0.1:{variables['PROMETHEUS_PORT']}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DOCKER_HOST": engine.host,
            "LOAD_SPIKE": "600",
            "LOAD_SECONDS": "4",
            **variables,
        }

    def __call__(self, *arguments: str, timeout: float = 300) -> str:
        """Return what a `docker compose` command prints. Raises `DockerFailed`."""
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("docker-compose")), "--ansi", "never"),
                *("--env-file", os.devnull, "--project-name", NAME),
                *("--file", str(self._checkout / "docker-compose.yml")),
                *("--file", str(_HERE / "without-grafana.yml"), *arguments),
            ],
            cwd=self._checkout,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise DockerFailed((done.stdout + done.stderr)[-4000:])
        return done.stdout.strip()

    def up(self, *options: str) -> None:
        """Start everything, and return when all of it is healthy."""
        self("up", "--detach", *options)
        self.until(self.healthy, "all containers healthy")

    def flashsale(self, *arguments: str) -> str:
        """Return what a command prints, run as docs and Compose file say."""
        return self("run", "--rm", "--no-TTY", "migrate", *arguments)

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """Return what the engine knows of the containers of a service, or of all."""
        label = "label=com.docker.compose."
        chosen = ["--filter", f"{label}project={NAME}", "--filter", f"{label}oneoff=False"]
        if service:
            chosen += ["--filter", f"{label}service={service}"]
        ids = self.docker("ps", "--all", "--quiet", *chosen).split()
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", *ids)) if ids else []
        return found

    def healthy(self) -> bool:
        """Whether every container that should run does so, and is healthy."""
        running = [c for c in self.containers() if "-migrate-" not in c["Name"]]
        return bool(running) and all(
            c["State"].get("Health", {}).get("Status") == "healthy" for c in running
        )

    def kill(self, container: dict[str, Any]) -> None:
        """Kill the first process of a container, as a crash does: Docker then restarts it."""
        os.kill(container["State"]["Pid"], signal.SIGKILL)

    def gateways(self) -> list[str]:
        """Return the URLs of the running gateways."""
        urls = []
        for container in self.containers("gateway"):
            for published in container["NetworkSettings"]["Ports"].get("8080/tcp") or ():
                urls.append(f"http://127.0.0.1:{published['HostPort']}")
        return urls

    def until(self, met: Callable[[], bool], what: str, seconds: float = 120) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + seconds
        while not met():
            if time.monotonic() > deadline:
                states = {
                    c["Name"]: c["State"].get("Health", c["State"]) for c in self.containers()
                }
                raise AssertionError(f"no {what} in {seconds} s: {states}")
            time.sleep(0.3)


def ask(url: str, body: dict[str, Any] | None = None, **headers: str) -> tuple[int, Any]:
    """Return status and JSON of an answer; status 0 if there is none."""
    data = json.dumps(body).encode() if body is not None else None
    sent = {"Content-Type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, sent), timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None
    except (OSError, ValueError):
        return 0, None
