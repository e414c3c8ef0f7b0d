"""The dashboard *The sale*: the flood, the bounded backlog, the flat drain, the stock."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.panels import Graph, Query, Stat, board, quantiles, variable

_SKU = '{sku=~"$sku"}'
_LEFT = f"max by (sku) (flashsale_sale_stock_items{_SKU}) - max by (sku) (flashsale_sale_sold_items{_SKU})"  # noqa: E501 PromQL
_RELEASED = "sum(rate(flashsale_released_orders_total[$__rate_interval]))"
_ARRIVED = "sum(rate(flashsale_orders_total[$__rate_interval]))"


def the_sale() -> Dashboard:
    """What an operator looks at while the sale runs."""
    return board(
        "flashsale-sale",
        "The sale",
        "What arrives, what is accepted, what waits, and what the database sees.",
        [variable("sku", "Sale", "label_values(flashsale_sale_stock_items, sku)")],
        [
            Stat(
                "Stock left",
                "Items that can still be sold.",
                "short",
                Query(f"sum({_LEFT})", "left"),
                ((None, "red"), (1, "green")),
            ),
            Stat(
                "Backlog",
                "Orders that wait in the queue. At its limit it refuses more.",
                "short",
                Query("max(flashsale_backlog_orders)", "waiting"),
                ((None, "green"), (1000, "orange"), (1900, "red")),
            ),
            Stat(
                "Time in line",
                "How long a shopper who joins the line now will wait, by the drain's limit.",
                "s",
                Query("max(flashsale_backlog_orders) / max(flashsale_drain_rate_limit)", "ETA"),
                ((None, "green"), (5, "orange"), (30, "red")),
            ),
            Stat(
                "Active drains",
                "One, and never more. None means that nothing is sold.",
                "short",
                Query("sum(flashsale_drain_active)", "active"),
                ((None, "red"), (1, "green"), (2, "red")),
            ),
            Stat(
                "Most in any second",
                "The most orders that the database got in any one second, by our own count.",
                "short",
                Query("max(flashsale_released_max_1s_orders)", "most"),
            ),
            Stat(
                "Sold and not there",
                "Items sold over the stock. Anything but zero is a broken promise.",
                "short",
                Query(f"sum(flashsale_sale_oversold_items{_SKU})", "oversold"),
                ((None, "green"), (1, "red")),
            ),
        ],
        [
            Graph(
                "The flood, and what is accepted of it",
                "Orders a second that arrive, and those that got a 202.",
                "reqps",
                [
                    Query(_ARRIVED, "arrived"),
                    Query(
                        'sum(rate(flashsale_orders_total{outcome="accepted"}[$__rate_interval]))',
                        "accepted",
                    ),
                ],
            ),
            Graph(
                "Drain against its limit",
                "Orders a second released to the database: never over the limit.",
                "ops",
                [
                    Query(_RELEASED, "released"),
                    Query("max(flashsale_drain_rate_limit)", "limit"),
                ],
            ),
            Graph(
                "Backlog against its limit",
                "Orders that wait, and those that the drain has in hand.",
                "short",
                [
                    Query("max(flashsale_backlog_orders)", "waiting"),
                    Query("sum(flashsale_backlog_unacked_orders)", "in hand"),
                    Query("max(flashsale_backlog_limit_orders)", "limit"),
                ],
            ),
            Graph(
                "Refused, by reason",
                "Orders a second that got another answer than a 202, by the type of the problem.",
                "reqps",
                [
                    Query(
                        "sum by (outcome) (rate(flashsale_orders_total"
                        '{outcome!="accepted"}[$__rate_interval]))',
                        "{{outcome}}",
                    )
                ],
                stacked=True,
            ),
            Graph(
                "Stock and sold",
                "Items of each sale.",
                "short",
                [
                    Query(f"max by (sku) (flashsale_sale_stock_items{_SKU})", "stock {{sku}}"),
                    Query(f"max by (sku) (flashsale_sale_sold_items{_SKU})", "sold {{sku}}"),
                ],
            ),
            Graph(
                "Decided",
                "Orders a second by outcome: confirmed, or the reason of the rejection.",
                "ops",
                [
                    Query(
                        "sum by (outcome) (rate(flashsale_decided_orders_total[$__rate_interval]))",
                        "{{outcome}}",
                    )
                ],
                stacked=True,
            ),
            Graph(
                "Time to a 202",
                "From the request to its answer, the broker's confirm included.",
                "s",
                quantiles("flashsale_accept_seconds"),
            ),
            Graph(
                "Time in line",
                "How long the order that was released last had waited since its 202.",
                "s",
                [Query("max(flashsale_backlog_oldest_seconds)", "oldest")],
            ),
        ],
    )
