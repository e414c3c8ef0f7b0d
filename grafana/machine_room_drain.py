"""The graphs of the drain on the dashboard *The machine room*."""

from grafana.panels import Graph, Query, quantiles

_HERE = '{instance=~"$instance"}'

DRAIN_GRAPHS = [
    Graph(
        "Time of a transaction",
        "Time of a batch's transaction, commit included.",
        "s",
        quantiles("flashsale_transaction_seconds"),
    ),
    Graph(
        "Transactions against their target",
        "What nine of ten transactions did not exceed when the adaptive rate was judged"
        " last. Both are zero while the rate is not adaptive.",
        "s",
        [
            Query("max(flashsale_transaction_p90_seconds)", "p90"),
            Query("max(flashsale_transaction_target_seconds)", "limit"),
        ],
    ),
    Graph(
        "Why the drain is at its rate",
        "1 for the reason of an adaptive rate: cap, slow, busy, timeout, recovering, inherited.",
        "short",
        [Query("max by (reason) (flashsale_drain_rate_reason)", "{{reason}}")],
        stacked=True,
    ),
    Graph(
        "Steps of a transaction",
        "Average time of each step: lock the sales, read, write, commit.",
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
        "Average orders per batch, and retries of transactions a second.",
        "short",
        [
            Query(
                "sum(rate(flashsale_batch_orders_sum[$__rate_interval]))"
                " / sum(rate(flashsale_batch_orders_count[$__rate_interval]))",
                "orders in a batch",
            ),
            Query("sum(rate(flashsale_ledger_retries_total[$__rate_interval]))", "tried again"),
        ],
    ),
    Graph(
        "Waiting for the pace",
        "Share of the time that delivered orders waited for the pacer.",
        "percentunit",
        [
            Query(
                "sum(rate(flashsale_pacing_wait_seconds_total[$__rate_interval]))",
                "waiting",
            )
        ],
    ),
]
