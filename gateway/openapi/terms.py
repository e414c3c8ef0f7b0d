"""The values of changes by operators, as JSON Schema shows them.

They describe, and check nothing: the rules of the domain do, and say in words what is wrong.
"""

from typing import Annotated

from msgspec import Meta

from flashsale.domain.controls import MAX_RATE
from flashsale.domain.operators.refusals import MAX_TEXT
from flashsale.domain.operators.sale_terms import (
    LONGEST_ADDRESS,
    LONGEST_HOLD_SECONDS,
    LONGEST_TITLE,
    MOST_ITEMS,
)
from flashsale.domain.orders import SKU_PATTERN
from flashsale.domain.webhooks.addresses import LONGEST_URL
from flashsale.domain.webhooks.endpoints import LONGEST_OVERLAP_SECONDS
from flashsale.domain.webhooks.event_types import EVERYTHING, KNOWN

_EVENT_TYPES = [
    *KNOWN,
    *sorted({f"{event_type.partition('.')[0]}.*" for event_type in KNOWN}),
    EVERYTHING,
]

SaleSku = Annotated[str, Meta(extra_json_schema={"pattern": SKU_PATTERN})]
Items = Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": MOST_ITEMS})]
ItemsEach = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MOST_ITEMS})]
ItemsMore = Annotated[int, Meta(extra_json_schema={"minimum": -MOST_ITEMS, "maximum": MOST_ITEMS})]
HoldSeconds = Annotated[
    int, Meta(extra_json_schema={"minimum": 1, "maximum": LONGEST_HOLD_SECONDS})
]
Waitlist = Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": MOST_ITEMS})]
Rate = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MAX_RATE})]
Text = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_TEXT})]
Title = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": LONGEST_TITLE})]
Price = Annotated[
    str, Meta(extra_json_schema={"pattern": r"^(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,4})?\Z"})
]
Currency = Annotated[str, Meta(extra_json_schema={"pattern": r"^[A-Z]{3}\Z"})]
Address = Annotated[
    str,
    Meta(extra_json_schema={"format": "uri-reference", "maxLength": LONGEST_ADDRESS}),
]
WebhookUrl = Annotated[
    str,
    Meta(extra_json_schema={"format": "uri", "maxLength": LONGEST_URL, "pattern": "^https?://"}),
]
EventTypes = Annotated[
    tuple[str, ...],
    Meta(extra_json_schema={"items": {"enum": _EVENT_TYPES}, "minItems": 1, "maxItems": 20}),
]
OverlapSeconds = Annotated[
    float, Meta(extra_json_schema={"minimum": 0, "maximum": LONGEST_OVERLAP_SECONDS})
]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
