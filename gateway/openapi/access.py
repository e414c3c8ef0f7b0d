"""Who may use an operation, as the document shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flashsale.runtime.settings import Settings
from gateway.http.problems import ProblemKind
from gateway.openapi.operation import Access

SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "operatorToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "`FLASHSALE_ADMIN_TOKEN`, or `FLASHSALE_VIEWER_TOKEN` to look only.",
    },
    "operatorPassword": {
        "type": "http",
        "scheme": "basic",
        "description": "For browsers: the token is the password of any user.",
    },
}
"""The security schemes by name."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The schemes, one of which a request needs, and the problems of one that may not."""

    schemes: tuple[str, ...] = ()
    problems: tuple[ProblemKind, ...] = ()


GUARDS: Mapping[Access, Guard] = {
    "public": Guard(),
    "viewer": Guard(("operatorToken", "operatorPassword"), ("unauthorized",)),
    "operator": Guard(
        ("operatorToken", "operatorPassword"), ("unauthorized", "forbidden", "cross-site")
    ),
}


def is_shown(access: Access, settings: Settings) -> bool:
    """Return whether such operations exist: those of operators do only if there is a token."""
    has_token = settings.admin_token is not None or settings.viewer_token is not None
    return access == "public" or has_token
