"""The problems as OpenAPI has them: a schema and a response for each kind."""

from collections.abc import Iterable, Mapping
from typing import Any

from flashsale.messages.json_schemas import reference
from gateway.http.problems import Problem, ProblemKind
from gateway.openapi.problem_details import ProblemDetails

OF_ANY_REQUEST: tuple[ProblemKind, ...] = (
    "bad-request",
    "slow-request",
    "uri-too-long",
    "expectation-failed",
    "client-rate",
    "client-connections",
    "headers-too-large",
    "internal",
    "version-not-supported",
)
"""The problems that any request may have, whatever its address is."""

OF_NO_OPERATION: tuple[ProblemKind, ...] = ("not-found", "method-not-allowed")
"""The problems of requests that the document does not know."""


_AUTHENTICATE = "How to authenticate (RFC 9110 11.6.1)."
_HEADERS: Mapping[ProblemKind, Mapping[str, str]] = {
    "unauthorized": {"WWW-Authenticate": _AUTHENTICATE},
    "token-required": {"WWW-Authenticate": _AUTHENTICATE},
    "bad-signature": {"WWW-Authenticate": _AUTHENTICATE},
    "invalid-token": {"WWW-Authenticate": _AUTHENTICATE},
    "client-rate": {
        "RateLimit-Policy": "The limit of each client (draft-ietf-httpapi-ratelimit-headers).",
        "RateLimit": "What is left of it, and the seconds until there is more.",
    },
    "method-not-allowed": {"Allow": "The methods that the address has."},
}
"""Headers that a kind of problem always has."""

_RETRY_AFTER = "Seconds after which another attempt makes sense."
_CONTENT_TYPE = "application/problem+json"


def status_of(kind: ProblemKind) -> int:
    """Return the status of problems of this kind."""
    return Problem(kind, "").status


def title_of(kind: ProblemKind) -> str:
    """Return the title of problems of this kind."""
    return Problem(kind, "").title


def problem_schemas(kinds: Iterable[ProblemKind]) -> dict[str, Any]:
    """Return the schema of each kind of problem, which goes beyond that of all problems."""
    return {
        kind: {
            "title": title_of(kind),
            "allOf": [reference(ProblemDetails.__name__)],
            "properties": {
                "type": {"const": f"/problems/{kind}"},
                "title": {"const": title_of(kind)},
                "status": {"const": status_of(kind)},
            },
        }
        for kind in kinds
    }


def problem_components(kinds: Iterable[ProblemKind]) -> dict[str, Any]:
    """Return a response for each kind of problem, by its name."""
    return {kind: _response((kind,)) for kind in kinds}


def problem_responses(kinds: Iterable[ProblemKind]) -> dict[str, Any]:
    """Return the responses with these kinds of problems, by status."""
    by_status: dict[int, list[ProblemKind]] = {}
    for kind in dict.fromkeys(kinds):
        by_status.setdefault(status_of(kind), []).append(kind)
    return {
        str(status): {"$ref": f"#/components/responses/{found[0]}"}
        if len(found) == 1
        else _response(found)
        for status, found in sorted(by_status.items())
    }


def _response(kinds: Iterable[ProblemKind]) -> dict[str, Any]:
    kinds = tuple(kinds)
    refs = [reference(kind) for kind in kinds]
    schema = refs[0] if len(refs) == 1 else {"oneOf": refs}
    response: dict[str, Any] = {
        "description": "\n".join(f"`{kind}`: {title_of(kind)}." for kind in kinds),
        "content": {_CONTENT_TYPE: {"schema": schema}},
    }
    headers = {
        name: {"description": text, "schema": {"type": "string"}, "required": len(kinds) == 1}
        for kind in kinds
        for name, text in _HEADERS.get(kind, {}).items()
    }
    if status_of(kinds[0]) in (429, 503):
        headers["Retry-After"] = {
            "description": _RETRY_AFTER,
            "schema": {"type": "integer", "minimum": 1},
        }
    return response | {"headers": headers} if headers else response
