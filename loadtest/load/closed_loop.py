"""A closed loop by wrk: each connection sends its next request after the last answer."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from loadtest.servers.server import await_port

CONNECTIONS = 64

ORDER = """
wrk.method = "POST"
wrk.path = "/orders"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"sku": "bench", "customer_id": "c-123", "quantity": 1}'
done = function(summary, latency, requests)
    io.write(string.format("not 2xx: %d\\n", summary.errors.status))
end
"""

_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Answers:
    """The figures of wrk. Its percentiles suffer from coordinated omission: see `open_loop`."""

    count: int
    per_second: float
    p50_ms: float
    p99_ms: float


def closed_loop(port: int, script: Path, seconds: int, connections: int = CONNECTIONS) -> Answers:
    """Run a wrk script for `seconds`. Raises `RuntimeError` if an answer was not as expected."""
    url = f"http://127.0.0.1:{port}"
    await_port(port)
    output = subprocess.run(
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"),
            *("-s", str(script), url),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if "not 2xx: 0\n" not in output or "Socket errors" in output:
        raise RuntimeError(f"unexpected answers:\n{output}")
    return read_answers(output)


def closed_loop_rate(
    port: int, script: Path, seconds: int, connections: int = CONNECTIONS
) -> float:
    """Return the answers a second. Raises `RuntimeError` if an answer was not as expected."""
    return closed_loop(port, script, seconds, connections).per_second


def read_answers(output: str) -> Answers:
    """Parse the output of wrk. Raises `RuntimeError` if it has another form."""
    count = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if count is None or rate is None:
        raise RuntimeError(f"wrk printed no rate:\n{output}")
    return Answers(
        int(count[1]), float(rate[1]), _percentile(output, "50%"), _percentile(output, "99%")
    )


def _percentile(output: str, name: str) -> float:
    found = re.search(rf"^\s+{name}\s+([\d.]+)(us|ms|s|m)\s*$", output, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk printed no latency at {name}:\n{output}")
    return round(float(found[1]) * _MILLISECONDS[found[2]], 3)
