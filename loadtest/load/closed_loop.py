"""A closed loop by wrk: every connection sends its next request once the last one is answered."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from loadtest.servers.base import await_port

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
    """What wrk counted. Its percentiles are those of a loop that waits while the server does."""

    count: int
    per_second: float
    p50_ms: float
    p99_ms: float


def closed_loop(port: int, script: Path, seconds: int, connections: int = CONNECTIONS) -> Answers:
    """Run a wrk script. Raises if any answer was not the one that the script wants."""
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
        raise RuntimeError(f"not the answers that were asked for:\n{output}")
    return read_answers(output)


def wrk(port: int, script: Path, seconds: int, connections: int = CONNECTIONS) -> float:
    """Answers a second, by a closed loop. Raises if any was not the one that the script wants."""
    return closed_loop(port, script, seconds, connections).per_second


def read_answers(output: str) -> Answers:
    """Read what wrk printed. Raises `RuntimeError` if it is not what wrk prints."""
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
