"""`If-None-Match` compares weakly, takes lists and `*`, and nothing that is not well-formed."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from gateway.http.validators import has_version

TAG = '"abc"'


@pytest.mark.parametrize(
    "given",
    [
        ['"abc"'],
        ['W/"abc"'],
        ["*"],
        ['"x", "abc"'],
        ['"x",W/"abc" , "y"'],
        ['"x,y", "abc"'],
        [', "abc",'],
        ['"x"', 'W/"abc"'],
    ],
)
def test_a_tag_that_the_client_names_is_its_version(given: list[str]) -> None:
    assert has_version(asked(given), TAG)


@pytest.mark.parametrize(
    "given", [[], [""], ["abc"], ['"ABC"'], ['w/"abc"'], ['"x *"'], ['"abc" x'], ['"abc'], ['"x"']]
)
def test_another_tag_or_none_is_another_version(given: list[str]) -> None:
    assert not has_version(asked(given), TAG)


def asked(values: list[str]) -> web.Request:
    return make_mocked_request("GET", "/", CIMultiDict(("If-None-Match", v) for v in values))
