"""The queues of a service: one for its work, one for each retry pause, one for dead events."""

from collections.abc import Iterable

from flashsale.broker import Binding, DeadQueue, Queue, QueueType, Topology
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import topology_of
from services.installed import chosen_services
from services.service import AnyService


def work_queue(prefix: str, service: AnyService) -> str:
    """Return the name of the queue that the service takes events from."""
    return f"{prefix}{service.name}"


def retry_queue(prefix: str, service: AnyService, pause: float) -> str:
    """Return the name of the queue where an event waits `pause` seconds for its next attempt.

    The name contains the pause. If the pauses of a service change, it gets new queues, and events
    in the old ones still come back.
    """
    return f"{prefix}{service.name}.retry.{pause:g}s"


def dead_queue(prefix: str, service: AnyService) -> str:
    """Return the name of the queue of events whose last attempt failed."""
    return f"{prefix}{service.name}.dead"


def services_topology(
    prefix: str, exchange: str, queue_type: QueueType, services: Iterable[AnyService]
) -> Topology:
    """Return the queues of these services, bound to the topic exchange of events."""
    queues: list[Queue] = []
    bindings: list[Binding] = []
    dead_queues: list[DeadQueue] = []
    for service in services:
        work = work_queue(prefix, service)
        queues.append(Queue(work, queue_type))
        queues += [
            Queue(
                retry_queue(prefix, service, pause),
                queue_type,
                delay_seconds=pause,
                expires_to=work,
            )
            for pause in sorted(set(service.retry.pauses))
        ]
        dead = dead_queue(prefix, service)
        queues.append(Queue(dead, queue_type))
        dead_queues.append(DeadQueue(service.name, dead, "", work))
        bindings += [Binding(exchange, work, topic) for topic in service.topics]
    return Topology((), tuple(queues), tuple(bindings), tuple(dead_queues))


def declared_by(settings: Settings, services: Iterable[AnyService]) -> Topology:
    """Return the queues and bindings that these services add to the topology of a sale."""
    events = topology_of(settings).events
    return services_topology(settings.broker_prefix, events, settings.queue_type, services)


def declared_by_installed(settings: Settings) -> Topology:
    """Return the queues and bindings of FLASHSALE_SERVICES. Raises `SettingsError`."""
    return declared_by(settings, chosen_services(settings.services))
