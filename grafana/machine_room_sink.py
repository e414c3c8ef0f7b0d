"""The graphs of the HTTP sink on the dashboard *The machine room*. They show 0 without a sink."""

from grafana.panels import Graph, Query

# Nothing else of a sink is there without one.
_OR_NONE = " or on() vector(0)"

SINK_GRAPHS = [
    Graph(
        "What the HTTP sink answered",
        "Attempts to deliver an order a second, by what came back.",
        "ops",
        [
            Query(
                "sum by (answer) (rate(flashsale_sink_attempts_total[$__rate_interval]))"
                + _OR_NONE,
                "{{answer}}",
            )
        ],
    ),
    Graph(
        "Time of a request to the HTTP sink",
        "Average time of a request with its answer.",
        "s",
        [
            Query(
                "sum(rate(flashsale_sink_request_seconds_sum[$__rate_interval]))"
                " / sum(rate(flashsale_sink_request_seconds_count[$__rate_interval]))" + _OR_NONE,
                "request",
            )
        ],
    ),
    Graph(
        "Circuit breaker of the HTTP sink",
        "1 for its state: closed, open, probing, ramping. And the orders on their way.",
        "short",
        [
            Query("max by (state) (flashsale_sink_breaker_state)" + _OR_NONE, "{{state}}"),
            Query("sum(flashsale_sink_in_flight_orders)" + _OR_NONE, "in flight"),
        ],
    ),
]
