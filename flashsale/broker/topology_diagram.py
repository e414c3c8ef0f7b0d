"""Show the topology as tables, as fields for programs, or as a Mermaid diagram (https://mermaid.js.org)."""

from collections.abc import Iterator

from flashsale.broker.rabbitmq.arguments import queue_arguments
from flashsale.broker.topology import Queue, Topology


def tables(topology: Topology) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Return title, column names and rows of a table each for exchanges, queues and bindings."""
    return [
        ("exchanges", ("name", "type"), [(e.name, e.type) for e in topology.exchanges]),
        (
            "queues",
            ("name", "type", "arguments"),
            [(q.name, *_type_and_arguments(q)) for q in topology.queues],
        ),
        (
            "bindings",
            ("exchange", "key", "queue"),
            [(b.exchange, b.key, b.queue) for b in topology.bindings],
        ),
    ]


def topology_fields(topology: Topology) -> dict[str, list[dict[str, object]]]:
    """Return the exchanges, queues and bindings with the fields of the tables."""
    return {
        "exchanges": [{"name": e.name, "type": e.type} for e in topology.exchanges],
        "queues": [
            {
                "name": q.name,
                "type": q.type,
                "arguments": {
                    name: value
                    for name, value in queue_arguments(q).items()
                    if name != "x-queue-type"
                },
            }
            for q in topology.queues
        ],
        "bindings": [
            {"exchange": b.exchange, "key": b.key, "queue": b.queue} for b in topology.bindings
        ],
    }


def mermaid(topology: Topology) -> str:
    """Return a Mermaid flowchart: exchanges are hexagons, queues are cylinders."""
    return "\n".join(("flowchart LR", *_lines(topology))) + "\n"


def _lines(topology: Topology) -> Iterator[str]:
    nodes = {e.name: f"x{n}" for n, e in enumerate(topology.exchanges)}
    nodes |= {f"queue {q.name}": f"q{n}" for n, q in enumerate(topology.queues)}
    for exchange in topology.exchanges:
        yield f'    {nodes[exchange.name]}{{{{"{exchange.name}<br/>{exchange.type}"}}}}'
    for queue in topology.queues:
        limit = "" if queue.max_length is None else f"<br/>at most {queue.max_length}"
        yield f'    {nodes[f"queue {queue.name}"]}[("{queue.name}{limit}")]'
    for binding in topology.bindings:
        here, there = nodes[binding.exchange], nodes[f"queue {binding.queue}"]
        yield f'    {here} -- "{binding.key}" --> {there}'
    for exchange in topology.exchanges:
        if exchange.type == "fanout":
            # Each gateway binds a queue of its own while it runs.
            yield f'    {nodes[exchange.name]} --> g{nodes[exchange.name]}[["every gateway"]]'
    for queue in topology.queues:
        if queue.expires_to is not None:
            later = f'"after {queue.delay_seconds:g} s"'
            here, there = nodes[f"queue {queue.name}"], nodes[f"queue {queue.expires_to}"]
            yield f"    {here} -. {later} .-> {there}"


def _type_and_arguments(queue: Queue) -> tuple[str, str]:
    arguments = queue_arguments(queue)
    kind = arguments.pop("x-queue-type")
    words = (f"{name.removeprefix('x-')}={value}" for name, value in arguments.items())
    return str(kind), ", ".join(words)
