"""The dashboard *The machine room*: broker, ledger, outbox, services, processes."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.machine_room_drain import DRAIN_GRAPHS
from grafana.machine_room_sink import SINK_GRAPHS
from grafana.machine_room_webhooks import WEBHOOK_GRAPHS
from grafana.panels import Graph, Query, Stat, board, quantiles, variable

_HERE = '{instance=~"$instance"}'


def the_machine_room() -> Dashboard:
    """Build the dashboard for an operator who looks for the cause of slowness."""
    return board(
        "flashsale-machine-room",
        "The machine room",
        "Broker, database, outbox, services and processes.",
        [variable("instance", "Instance", "label_values(flashsale_build_info, instance)")],
        [
            Stat(
                "Processes",
                "Processes of the product that Prometheus scrapes.",
                "short",
                Query("count(flashsale_build_info)", "processes"),
            ),
            Stat(
                "Without a broker",
                "Processes that can't publish.",
                "short",
                Query("sum(1 - flashsale_broker_up)", "without"),
                ((None, "green"), (1, "red")),
            ),
            Stat(
                "Outbox lag",
                "Age of the oldest unsent event in the outbox.",
                "s",
                Query("max(flashsale_outbox_lag_seconds)", "lag"),
                ((None, "green"), (15, "orange"), (60, "red")),
            ),
            Stat(
                "Dead letters",
                "Orders and events moved to dead queues since the processes started.",
                "short",
                Query(
                    "sum(flashsale_dead_orders_total)"
                    " + (sum(flashsale_service_dead_events_total) or vector(0))",
                    "dead",
                ),
                ((None, "green"), (1, "red")),
            ),
            Stat(
                "Missing orders",
                "Accepted orders that are neither decided nor in the queue.",
                "short",
                Query("max(flashsale_missing_orders)", "missing"),
                ((None, "green"), (1, "red")),
            ),
            Stat(
                "Failing tasks",
                "Background tasks that are down, or were started again just now.",
                "short",
                Query("sum(flashsale_background_task_failing)", "failing"),
                ((None, "green"), (1, "red")),
            ),
        ],
        [
            Graph(
                "What the broker answered",
                "Messages published a second, by the broker's answer.",
                "ops",
                [
                    Query(
                        "sum by (answer) (rate(flashsale_broker_messages_total"
                        f"{_HERE}[$__rate_interval]))",
                        "{{answer}}",
                    )
                ],
            ),
            Graph(
                "Waiting for the broker's answer",
                "Published messages without a confirm, and whether the broker blocks publishers.",
                "short",
                [
                    Query(
                        f"sum by (job) (flashsale_broker_in_flight_messages{_HERE})",
                        "in flight {{job}}",
                    ),
                    Query(f"sum(flashsale_broker_blocked{_HERE})", "blocked"),
                ],
            ),
            Graph(
                "Requests by route",
                "Requests answered a second, by method and template of the route.",
                "reqps",
                [
                    Query(
                        "sum by (method, route) (rate(flashsale_http_requests_total"
                        f"{_HERE}[$__rate_interval]))",
                        "{{method}} {{route}}",
                    )
                ],
            ),
            Graph(
                "Polls and streams",
                "Status requests a second by source of the answer, and open event streams.",
                "short",
                [
                    Query(
                        "sum by (source) (rate(flashsale_status_requests_total"
                        f"{_HERE}[$__rate_interval]))",
                        "polls: {{source}}",
                    ),
                    Query(f"sum(flashsale_streams_open{_HERE})", "streams"),
                ],
            ),
            Graph(
                "Limits of clients",
                "Requests refused with 429 a second by route, and the clients that are remembered.",
                "short",
                [
                    Query(
                        "sum by (route) (rate(flashsale_http_requests_total"
                        '{instance=~"$instance",status="429"}[$__rate_interval]))',
                        "429: {{route}}",
                    ),
                    Query(f"max(flashsale_limited_clients{_HERE})", "clients remembered"),
                ],
            ),
            *DRAIN_GRAPHS,
            *SINK_GRAPHS,
            Graph(
                "Events",
                "Events a second: published by the relay, and handled by each service.",
                "ops",
                [
                    Query("sum(rate(flashsale_relayed_events_total[$__rate_interval]))", "relayed"),
                    Query(
                        "sum by (service) (rate(flashsale_service_handled_events_total"
                        "[$__rate_interval]))",
                        "{{service}}",
                    ),
                ],
            ),
            Graph(
                "Services that fail",
                "Retries, and events moved to dead queues, a second.",
                "ops",
                [
                    Query(
                        "sum by (service) (rate(flashsale_service_retried_events_total"
                        "[$__rate_interval]))",
                        "{{service}} tried again",
                    ),
                    Query(
                        "sum by (service) (rate(flashsale_service_dead_events_total"
                        "[$__rate_interval]))",
                        "{{service}} dead",
                    ),
                ],
            ),
            Graph(
                "Services that wait",
                "1 while a service takes no events, as its other side is away.",
                "short",
                [
                    Query(
                        f"max by (service, instance) (flashsale_service_paused{_HERE})",
                        "{{service}} {{instance}}",
                    )
                ],
            ),
            Graph(
                "Time of a service",
                "Time of an event's handler.",
                "s",
                quantiles("flashsale_service_seconds", ", service"),
            ),
            *WEBHOOK_GRAPHS,
            Graph(
                "Event loop lag",
                "Delay by which the event loop of a process resumed a sleeping task.",
                "s",
                [
                    Query(
                        "histogram_quantile(0.99, sum by (le, job, instance)"
                        f" (rate(flashsale_loop_lag_seconds_bucket{_HERE}[$__rate_interval])))",
                        "{{job}} {{instance}}",
                    )
                ],
            ),
            Graph(
                "Clocks",
                "Seconds by which the clock of a gateway is ahead of that of the drain, and that of"
                " the database, if it was stepped while items were held.",
                "s",
                [
                    Query(f"flashsale_clock_skew_seconds{_HERE}", "{{instance}}"),
                    Query(f"flashsale_drain_clock_step_seconds{_HERE}", "database, {{instance}}"),
                ],
                signed=True,
            ),
            Graph(
                "Keys of tokens",
                "Seconds since a gateway has fetched the public keys of tokens. It fetches them"
                " every two minutes.",
                "s",
                [Query(f"flashsale_token_keys_age_seconds{_HERE}", "{{instance}}")],
            ),
            Graph(
                "Starts after a failure",
                "Background tasks that ended by themselves, and connections to the broker that were"
                " made again.",
                "short",
                [
                    Query(
                        "sum by (task, instance) (increase(flashsale_background_task_failures_total"
                        f"{_HERE}[$__rate_interval]))",
                        "{{task}} {{instance}}",
                    ),
                    Query(
                        "sum by (job, instance) (increase(flashsale_broker_reconnects_total"
                        f"{_HERE}[$__rate_interval]))",
                        "broker {{job}} {{instance}}",
                    ),
                ],
            ),
            Graph(
                "Warnings of the broker",
                "Policies of the broker that may drop orders, by process. Each is in its log.",
                "short",
                [Query(f"flashsale_broker_warnings{_HERE}", "{{job}} {{instance}}")],
            ),
            Graph(
                "Processor",
                "Cores that each process uses.",
                "short",
                [
                    Query(
                        f"rate(process_cpu_seconds_total{_HERE}[$__rate_interval])",
                        "{{job}} {{instance}}",
                    )
                ],
            ),
            Graph(
                "Memory",
                "Resident memory of each process.",
                "bytes",
                [Query(f"process_resident_memory_bytes{_HERE}", "{{job}} {{instance}}")],
            ),
            Graph(
                "Open files",
                "Open file descriptors, most of them connections.",
                "short",
                [Query(f"process_open_fds{_HERE}", "{{job}} {{instance}}")],
            ),
        ],
    )
