"""What a service has on the broker: queues for its work, for each pause, and for the dead."""

from collections.abc import Iterable

from flashsale.broker import Binding, Queue, QueueType, Topology
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import topology_of
from services.installed import chosen_services
from services.service import AnyService


def work_queue(prefix: str, service: AnyService) -> str:
    """The queue that the service works from."""
    return f"{prefix}{service.name}"


def retry_queue(prefix: str, service: AnyService, pause: float) -> str:
    """The queue in which an event waits for so many seconds before its next try.

    Its name tells the pause: a service that is given other pauses has other queues, and what
    waits in the old ones still comes back.
    """
    return f"{prefix}{service.name}.retry.{pause:g}s"


def dead_queue(prefix: str, service: AnyService) -> str:
    """The queue of events that were tried for the last time."""
    return f"{prefix}{service.name}.dead"


def services_topology(
    prefix: str, exchange: str, queue_type: QueueType, services: Iterable[AnyService]
) -> Topology:
    """What these services have on the broker, bound to the topic exchange of events."""
    queues: list[Queue] = []
    bindings: list[Binding] = []
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
        queues.append(Queue(dead_queue(prefix, service), queue_type))
        bindings += [Binding(exchange, work, topic) for topic in service.topics]
    return Topology((), tuple(queues), tuple(bindings))


def declared_by(settings: Settings, services: Iterable[AnyService]) -> Topology:
    """Return what these services add to the topology of a sale."""
    events = topology_of(settings).events
    return services_topology(settings.broker_prefix, events, settings.queue_type, services)


def declared_by_installed(settings: Settings) -> Topology:
    """Return what the services of FLASHSALE_SERVICES add. Raises `SettingsError`."""
    return declared_by(settings, chosen_services(settings.services))
