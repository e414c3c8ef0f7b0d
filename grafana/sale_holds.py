"""Graphs of *The sale* about items that are held, and about their payments."""

from grafana.panels import Graph, Query, quantiles

_TAKEN = 'flashsale_payments_total{result=~"confirmed|refund_due|failed|again"}'

HOLD_GRAPHS = [
    Graph(
        "Payments, by result",
        "Answers to POST /payments a second. Many of bad-signature are a wrong secret or clock.",
        "ops",
        [
            Query(
                "sum by (result) (rate(flashsale_payments_total[$__rate_interval]))",
                "{{result}}",
            )
        ],
        stacked=True,
    ),
    Graph(
        "Time to the answer about a payment",
        "Time from the request to its 200, the commit included.",
        "s",
        quantiles("flashsale_payment_seconds"),
    ),
    Graph(
        "Payments a transaction",
        "Payments that share a transaction, as they came together.",
        "short",
        [
            Query(
                f"sum(rate({_TAKEN}[$__rate_interval]))"
                " / sum(rate(flashsale_payment_transactions_total[$__rate_interval]))",
                "payments",
            )
        ],
    ),
]
"""The graphs of payments."""
