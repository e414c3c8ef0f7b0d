"""Why a change of an operator is refused."""

from flashsale.domain.errors import FlashsaleError

MAX_TEXT = 500
"""The most characters of a notice to shoppers, or of a reason."""


class ChangeRefused(FlashsaleError):
    """A change is not valid. Nothing was changed."""

    def __init__(self, field: str, detail: str) -> None:
        """`field` is the name of the wrong field, or empty."""
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field
        self.detail = detail


def require_text(field: str, text: str | None) -> None:
    """Raise `ChangeRefused` for a notice or a reason that is too long or can't be printed."""
    if text is None:
        return
    if len(text) > MAX_TEXT:
        raise ChangeRefused(field, f"must have at most {MAX_TEXT} characters")
    if not all(c.isprintable() or c == "\n" for c in text):
        raise ChangeRefused(field, "must not have control characters")
