"""What an operator may change about a webhook endpoint, and where a replay ends."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from msgspec import UNSET, UnsetType

from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.webhooks.addresses import require_url
from flashsale.domain.webhooks.endpoints import Endpoint, EndpointTerms

END_OF_TIME = 253_402_300_799.0
"""The `until` of a replay without an end, in Unix seconds: the end of the year 9999.

It is the same in each retry of a request, which the current time is not.
"""


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """A change of the terms. UNSET leaves a term as it is; None removes the description."""

    url: str | UnsetType = UNSET
    event_types: tuple[str, ...] | UnsetType = UNSET
    description: str | UnsetType | None = UNSET

    def apply(self, endpoint: Endpoint, *, allow_private: bool) -> EndpointTerms:
        """Return the new terms of the endpoint. Raises `ChangeRefused`."""
        wanted = self._wanted()
        if not wanted:
            raise ChangeRefused("", "nothing to change: give at least one term")
        if isinstance(self.url, str):
            require_url(self.url, allow_private=allow_private)
        terms = EndpointTerms(endpoint.url, endpoint.event_types, endpoint.description)
        return replace(terms, **wanted)

    def _wanted(self) -> Mapping[str, Any]:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value is not UNSET}
