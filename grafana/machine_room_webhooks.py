"""The graphs of webhooks on the dashboard *The machine room*."""

from grafana.panels import Graph, Query, quantiles

WEBHOOK_GRAPHS = [
    Graph(
        "Webhooks",
        "Attempts to send a webhook a second, by what came of them.",
        "ops",
        [
            Query(
                "sum by (result) (rate(flashsale_webhook_attempts_total[$__rate_interval]))",
                "{{result}}",
            )
        ],
    ),
    Graph(
        "Time of a webhook",
        "Time from the start of an attempt to the answer of the endpoint.",
        "s",
        quantiles("flashsale_webhook_seconds"),
    ),
    Graph(
        "Webhooks that wait",
        "Deliveries that are still to be made, by endpoint; 1 if it is disabled.",
        "short",
        [
            Query("max by (endpoint) (flashsale_webhook_pending)", "{{endpoint}}"),
            Query(
                "max by (endpoint) (flashsale_webhook_endpoint_disabled)", "{{endpoint}} disabled"
            ),
        ],
    ),
    Graph(
        "Age of webhooks",
        "Age of the oldest event that is still to be sent, by the id of the endpoint.",
        "s",
        [Query("max by (endpoint) (flashsale_webhook_oldest_seconds)", "{{endpoint}}")],
    ),
]
