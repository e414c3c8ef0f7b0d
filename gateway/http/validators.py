"""Entity tags: which version has the client (`If-None-Match`), which does it change (`If-Match`)?

RFC 9110 8.8.3, 13.1.1 and 13.1.2.
"""

import re

from aiohttp import web

_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_LIST = re.compile(rf"[\s,]*{_TAG.pattern}(?:[ \t]*,[\s,]*{_TAG.pattern})*[\s,]*\Z")


def has_version(request: web.Request, etag: str) -> bool:
    """Return whether `If-None-Match` names this strong entity tag, or any by `*`.

    The comparison is weak: a proxy that compresses the answer makes the tag a weak one. A header
    that is not well-formed matches nothing.
    """
    given = ",".join(request.headers.getall("If-None-Match", ())).strip(" \t")
    if given == "*":
        return True
    return bool(_LIST.match(given)) and etag in _TAG.findall(given)


def strong_tags(given: str) -> list[str] | None:
    """Return the strong entity tags of a list, with their quotes; None if it is not well-formed."""
    if not _LIST.match(given):
        return None
    return [tag[0] for tag in _TAG.finditer(given) if not tag[0].startswith("W/")]
