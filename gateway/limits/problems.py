"""The problem of a client that has too much open."""

from gateway.http.problems import Problem

_RETRY_SECONDS = 5.0


def connections_problem(most: int) -> Problem:
    """Return the problem for a client that has too much open."""
    return Problem(
        "client-connections",
        f"At most {most} at the same time of one client, event streams among them.",
        retry_after=_RETRY_SECONDS,
    )
