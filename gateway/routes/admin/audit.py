"""`GET /admin/audit`: who changed what, when and why."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from flashsale.domain.audit_entries import AuditEntry
from flashsale.domain.moments import moment_at
from gateway.context import CONTEXT
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import Answer, Operation
from gateway.routes.admin.access import viewers
from gateway.routes.admin.changes import change_problems
from gateway.routes.admin.pages import CURSOR, LIMIT, cursor, page_size

_encode = msgspec.json.Encoder().encode


class EntryView(msgspec.Struct):
    """An entry of the audit."""

    id: int
    at: datetime
    who: str
    action: str
    target: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    reason: str | None
    request_id: str | None


class AuditPage(msgspec.Struct):
    """Entries, the newest first. `next` is the cursor of the next page, null on the last one."""

    entries: list[EntryView]
    next: str | None


async def get_audit(request: web.Request) -> JsonResponse:
    """Answer with a page of the audit: `?limit=` entries after `?cursor=`."""
    limit = page_size(request)
    before = cursor(request)
    with change_problems():
        found = await request.app[CONTEXT].audit_log.entries(limit + 1, before)
    entries = found[:limit]
    more = str(entries[-1].id) if len(found) > limit else None
    return JsonResponse(_encode(AuditPage([_view(entry) for entry in entries], more)))


def _view(entry: AuditEntry) -> EntryView:
    fields = vars(entry) | {"at": moment_at(entry.at)}
    return EntryView(**fields)


ROUTES = [web.get("/admin/audit", viewers(get_audit))]

OPERATIONS = {
    "GET /admin/audit": Operation(
        "listAudit",
        "List who changed what",
        {200: Answer("A page, the newest entry first.", (AuditPage,))},
        ("ledger-unavailable",),
        parameters=(LIMIT, CURSOR),
        access="viewer",
    )
}
