"""The dashboard *The machine room*: broker, ledger, outbox, services, processes."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.panels import Graph, Query, Stat, board, quantiles, variable

_HERE = '{instance=~"$instance"}'


def the_machine_room() -> Dashboard:
    """What an operator looks at when something is slow."""
    return board(
        "flashsale-machine-room",
        "The machine room",
        "Broker, database, outbox, services and processes.",
        [variable("instance", "Instance", "label_values(flashsale_build_info, instance)")],
        [
            Stat(
                "Processes",
                "Processes of ours that Prometheus reaches.",
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
                "Age of the oldest event that is not published.",
                "s",
                Query("max(flashsale_outbox_lag_seconds)", "lag"),
                ((None, "green"), (15, "orange"), (60, "red")),
            ),
            Stat(
                "Dead letters",
                "Orders and events put in dead queues since the processes started.",
                "short",
                Query(
                    "sum(flashsale_dead_orders_total)"
                    " + (sum(flashsale_service_dead_events_total) or vector(0))",
                    "dead",
                ),
                ((None, "green"), (1, "red")),
            ),
        ],
        [
            Graph(
                "What the broker answered",
                "Messages published, a second, by the broker's answer.",
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
                "Messages published and not answered for, and whether the broker blocks.",
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
                "Requests answered a second, by the template of their route.",
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
                "Status requests a second, by where the answer was, and open event streams.",
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
                "Time of a transaction",
                "One batch of orders, its commit included.",
                "s",
                quantiles("flashsale_transaction_seconds"),
            ),
            Graph(
                "Steps of a transaction",
                "On average: lock the sales, read what is known, write, commit.",
                "s",
                [
                    Query(
                        "sum by (step) (rate(flashsale_transaction_step_seconds_sum"
                        "[$__rate_interval])) / sum by (step)"
                        " (rate(flashsale_transaction_step_seconds_count[$__rate_interval]))",
                        "{{step}}",
                    )
                ],
                stacked=True,
            ),
            Graph(
                "Batches",
                "Orders in a batch, on average, and transactions tried again.",
                "short",
                [
                    Query(
                        "sum(rate(flashsale_batch_orders_sum[$__rate_interval]))"
                        " / sum(rate(flashsale_batch_orders_count[$__rate_interval]))",
                        "orders in a batch",
                    ),
                    Query(
                        "sum(rate(flashsale_ledger_retries_total[$__rate_interval]))", "tried again"
                    ),
                ],
            ),
            Graph(
                "Waiting for the pace",
                "Share of the time that orders at hand waited for their turn.",
                "percentunit",
                [
                    Query(
                        "sum(rate(flashsale_pacing_wait_seconds_total[$__rate_interval]))",
                        "waiting",
                    )
                ],
            ),
            Graph(
                "Events",
                "Events published by the relay, and done by each service, a second.",
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
                "Tries that come again, and events that are dead, a second.",
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
                "Time of a service",
                "One event's handler.",
                "s",
                quantiles("flashsale_service_seconds", ", service"),
            ),
            Graph(
                "Event loop lag",
                "How much later than it should a process came back to a task that slept.",
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
                "Connections, most of all.",
                "short",
                [Query(f"process_open_fds{_HERE}", "{{job}} {{instance}}")],
            ),
        ],
    )
