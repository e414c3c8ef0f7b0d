"""What one operation takes and answers. Route files declare it beside their `ROUTES`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.http.problems import ProblemKind

Access = Literal["public", "shopper", "provider", "demonstration", "viewer", "operator"]
"""Who may use an operation. `gateway.openapi.access` says how the document shows it."""

Place = Literal["query", "header"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or a header of the request. `schema` is a JSON Schema."""

    name: str
    place: Place
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no problem.

    `structs` are the types of its body, one of which it has; `events` the types by the name of the
    event, in a stream. A body of neither is text or bytes of `content_type`.
    """

    description: str
    structs: tuple[type, ...] = ()
    content_type: str | None = "application/json"
    """None if the answer has no body."""
    events: Mapping[str, type] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that are always there, with their description."""
    links: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    """By name: the id of an operation that may follow, and its parameters as expressions."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request."""

    struct: type
    content_types: tuple[str, ...] = ("application/json",)
    required: bool = True
    struct_with_token: type | None = None
    """What the body is if a token says who the shopper is; None for the same."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of an address. `problems` are those that it has beside those of any request."""

    id: str
    summary: str
    answers: Mapping[int, Answer]
    problems: tuple[ProblemKind, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    access: Access = "public"


Operations = Mapping[str, Operation]
"""Operations by method and path, such as `GET /sales/{sku}`: each of the routes has one."""


def files(content_types: Mapping[str, str], access: Access = "public") -> Operations:
    """Return the operations of files that are served as they are, by path."""
    return {
        f"GET {path}": Operation(
            _file_id(path),
            "A page" if content_type.startswith("text/html") else "A file of a page",
            {
                200: Answer("The file.", content_type=content_type, headers=ENTITY_TAG),
                304: Answer("The client has this version.", content_type=None, headers=ENTITY_TAG),
            },
            parameters=(IF_NONE_MATCH,),
            access=access,
        )
        for path, content_type in content_types.items()
    }


def _file_id(path: str) -> str:
    words = path.replace("/", " ").replace(".", " ").replace("_", " ").split() or ["shop", "page"]
    return "get" + "".join(word.capitalize() for word in words)


ENTITY_TAG = {"ETag": "The version of what the answer shows."}

IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", "The `ETag` of the version that the client has: 304 if it is this."
)
