"""`/admin/dead`: the dead letters of orders and services; replay them, or drop them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from flashsale.broker import BrokerError, QueueFull
from flashsale.broker.dead_letter_view import LetterView
from flashsale.domain.moments import moment_at
from flashsale.domain.operators.refusals import ChangeRefused, require_text
from flashsale.ledger import LedgerError
from flashsale.runtime.dead_letters import Action, Interrupted, QueueUnknown
from gateway.context import CONTEXT
from gateway.http.idempotency_key import idempotency_key
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import Answer, Body, Operation, Parameter
from gateway.openapi.parameters import IDEMPOTENCY_KEY
from gateway.openapi.terms import Text
from gateway.routes.admin.access import author, operators, viewers
from gateway.routes.admin.changes import OF_BODIES, change_problems, read_change
from gateway.routes.admin.pages import LIMIT, page_size

_encode = msgspec.json.Encoder().encode


class Letter(msgspec.Struct):
    """A dead letter. The body is JSON as text, or a bytes literal if it can't be read."""

    id: str
    queue: str
    order_id: str | None
    tries: int
    died_at: datetime | None
    reason: str
    body: str


class LetterCount(msgspec.Struct):
    """A queue of dead letters."""

    queue: str
    count: int


class DeadView(msgspec.Struct):
    """All queues with their counts, and the oldest letters, queue by queue."""

    queues: list[LetterCount]
    letters: list[Letter]


class SettleWish(msgspec.Struct, forbid_unknown_fields=True):
    """The letters to replay or to drop: those with these ids, or all of the queue."""

    queue: str
    ids: list[str] | None = None
    all: bool = False
    reason: Text | None = None


class SettledView(msgspec.Struct):
    """How many letters were replayed or dropped, and the ids of at most 100 of them."""

    queue: str
    count: int
    ids: Sequence[str]


async def get_dead(request: web.Request) -> JsonResponse:
    """Answer with the dead letters of all queues, or of `?queue=`; `?limit=` letters at most."""
    limit = page_size(request)
    with _dead_problems():
        looked = await request.app[CONTEXT].dead_letters.look(request.query.get("queue"), limit)
    queues = [LetterCount(seen.queue, seen.count) for seen in looked]
    letters = [_letter(letter) for seen in looked for letter in seen.letters]
    return JsonResponse(_encode(DeadView(queues, letters)))


def _post(action: Action) -> Handler:
    async def post(request: web.Request) -> JsonResponse:
        """Replay or drop letters. Every change is audited."""
        dead_letters = request.app[CONTEXT].dead_letters
        key = idempotency_key(request)
        wish = await read_change(request, SettleWish)
        with _dead_problems():
            if bool(wish.ids) == wish.all:
                raise ChangeRefused("ids", 'give ids of dead letters, or "all": true')
            require_text("reason", wish.reason)
            [dead] = dead_letters.queues(wish.queue)
            after = await dead_letters.settle(
                action,
                dead,
                None if wish.all else set(wish.ids or ()),
                author(request, wish.reason, key),
            )
        return JsonResponse(_encode(SettledView(queue=dead.name, **after)))

    return post


@contextmanager
def _dead_problems() -> Iterator[None]:
    """Raise the `Problem` for each reason why letters are not read, replayed or dropped."""
    try:
        with change_problems():
            yield
    except QueueUnknown as error:
        raise Problem("unknown-queue", str(error)) from error
    except Interrupted as error:
        raise _interrupted(error) from error
    except BrokerError as error:
        raise Problem(
            "broker-unreachable", f"Nothing was changed: {error}.", retry_after=1
        ) from error


def _interrupted(error: Interrupted) -> Problem:
    """Return the problem, which says how many letters were replayed or dropped before."""
    cause = error.__cause__
    done = f"{error.settled['count']} letters were done before"
    if isinstance(cause, LedgerError):
        detail = f"{done}, and the audit could not be written: {cause}."
        return Problem("ledger-unavailable", detail, **error.settled)
    if isinstance(cause, QueueFull):
        detail = f"{done}. The others are still here: replay them when fewer orders wait."
        return Problem("queue-full", detail, retry_after=5, **error.settled)
    detail = f"{done}. The others are still here: {cause}."
    return Problem("broker-unreachable", detail, retry_after=1, **error.settled)


def _letter(view: LetterView) -> Letter:
    return Letter(**(vars(view) | {"died_at": moment_at(view.died_at)}))


ROUTES = [
    web.get("/admin/dead", viewers(get_dead)),
    web.post("/admin/dead/replay", operators(_post("dead.replay"))),
    web.post("/admin/dead/drop", operators(_post("dead.drop"))),
]


def _settling(operation_id: str, summary: str) -> Operation:
    return Operation(
        operation_id,
        summary,
        {200: Answer("What was done.", (SettledView,))},
        (
            *OF_BODIES,
            "bad-idempotency-key",
            "unknown-queue",
            "key-reused",
            "queue-full",
            "broker-unreachable",
            "ledger-unavailable",
        ),
        parameters=(IDEMPOTENCY_KEY,),
        body=Body(SettleWish),
        access="operator",
    )


OPERATIONS = {
    "GET /admin/dead": Operation(
        "listDeadLetters",
        "List dead letters",
        {200: Answer("The queues, and the oldest letters.", (DeadView,))},
        ("unknown-queue", "broker-unreachable", "ledger-unavailable"),
        parameters=(Parameter("queue", "query", "Only of this queue."), LIMIT),
        access="viewer",
    ),
    "POST /admin/dead/replay": _settling("replayDeadLetters", "Publish dead letters again"),
    "POST /admin/dead/drop": _settling("dropDeadLetters", "Drop dead letters"),
}
