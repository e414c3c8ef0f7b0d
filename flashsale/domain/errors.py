"""The base class of the project's errors."""


class FlashsaleError(Exception):
    """Base class of all errors that the product raises on purpose."""


def sole_error(error: BaseException) -> BaseException:
    """Return the only error in an exception group, or the group if it has several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
