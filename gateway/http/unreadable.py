"""Requests that are not HTTP: each is answered as a problem."""

from aiohttp.http_exceptions import (
    BadHttpMethod,
    BadStatusLine,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
)

from gateway.http.problems import Problem

MAX_REQUEST_LINE_BYTES = 8192
MAX_HEADER_BYTES = 8190
"""Another number than that of the request line: an error names only the limit that was exceeded."""

MAX_HEADERS = 128


def unreadable_problem(error: BaseException | None) -> Problem:
    """Return the answer to a request that aiohttp's parser refuses with this error."""
    match error:
        case LineTooLong(args=(_, limit, *_)) if limit == MAX_REQUEST_LINE_BYTES:
            return Problem("uri-too-long", f"At most {MAX_REQUEST_LINE_BYTES} bytes.")
        case LineTooLong():
            return Problem("headers-too-large", f"At most {MAX_HEADER_BYTES} bytes for each.")
        case BadStatusLine() | BadHttpMethod():
            detail = "The first line is not a request line of HTTP/1.1."
        case InvalidURLError():
            detail = "The address is not valid."
        case InvalidHeader():
            detail = "A header is not valid."
        case _ if "Too many headers" in str(error):
            return Problem("headers-too-large", f"At most {MAX_HEADERS} headers.")
        case _:
            detail = "This is not a request of HTTP/1.1."
    return Problem("bad-request", detail)
