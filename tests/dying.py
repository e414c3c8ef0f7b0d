"""Run `flashsale ...` and kill -9 it at its worst moments: `python -m tests.dying POINT NTH ...`.

The points are between the steps of the code as it is; nothing in the product knows of them.
"""

import os
import signal
import sys
from typing import Any

from flashsale.cli import app
from flashsale.ledger import EffectBook, Outbox

POINTS: dict[str, tuple[type, str, str]] = {
    "published-not-marked": (Outbox, "mark", "before"),
    "marked-not-committed": (Outbox, "mark", "after"),
    "handled-not-recorded": (EffectBook, "take_effect", "before"),
    "effect-not-committed": (EffectBook, "mark", "after"),
    "recorded-not-acked": (EffectBook, "take_effect", "after"),
}


def die_at(point: str, at: int) -> None:
    """Have this process kill itself when it comes to that point the `at`-th time."""
    owner, name, moment = POINTS[point]
    method = getattr(owner, name)
    calls = 0

    async def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        mine = calls  # others may come here while this one is away
        if mine == at and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await method(*arguments, **named)
        if mine == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


if __name__ == "__main__":
    die_at(sys.argv[1], int(sys.argv[2]))
    app(sys.argv[3:])
