"""The base of every error that this project raises on purpose."""


class FlashsaleError(Exception):
    """Base class: catch it to handle whatever the product reports, and no other failure."""


def sole_error(error: BaseException) -> BaseException:
    """Return the one error that a group of tasks ended with, or the group if there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
