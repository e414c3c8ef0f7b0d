"""Allow this process as many connections as it may have."""

import resource

_FOR_ITSELF = 200


def allow_many_connections() -> int:
    """Raise the limit of open files as far as it goes; return how many connections that allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - _FOR_ITSELF
