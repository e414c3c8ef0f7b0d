"""`flashsale asyncapi`: the description of the events that services get."""

import json

from flashsale.broker.asyncapi import asyncapi_document
from flashsale.runtime.process import settings_or_fail
from flashsale.runtime.stack import topology_of


def asyncapi() -> None:
    """Print the AsyncAPI document of the events on the topic exchange, as JSON."""
    print(json.dumps(asyncapi_document(topology_of(settings_or_fail())), indent=2))
