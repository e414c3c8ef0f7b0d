"""The dashboard *The sale*: arrivals, the bounded backlog, the flat drain, the stock."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.panels import Graph, Query, Stat, board, quantiles, variable
from grafana.sale_holds import HOLD_GRAPHS

_SKU = '{sku=~"$sku"}'
_LEFT = " - ".join(
    f"max by (sku) (flashsale_sale_{items}_items{_SKU})" for items in ("stock", "sold", "held")
)
_RELEASED = "sum(rate(flashsale_released_orders_total[$__rate_interval]))"
_ARRIVED = "sum(rate(flashsale_orders_total[$__rate_interval]))"


def the_sale() -> Dashboard:
    """Build the dashboard for an operator while a sale runs."""
    return board(
        "flashsale-sale",
        "The sale",
        "Orders that arrive, are accepted, wait in the queue, and reach the database.",
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
                "Ready orders in the queue. At its limit the queue refuses more.",
                "short",
                Query("max(flashsale_backlog_orders)", "waiting"),
                ((None, "green"), (1000, "orange"), (1900, "red")),
            ),
            Stat(
                "Time in line",
                "Expected wait of an order that is accepted now, at the drain's limit.",
                "s",
                Query("max(flashsale_backlog_orders) / max(flashsale_drain_rate_limit)", "ETA"),
                ((None, "green"), (5, "orange"), (30, "red")),
            ),
            Stat(
                "Active drains",
                "Must be one. Zero means that nothing is sold.",
                "short",
                Query("sum(flashsale_drain_active)", "active"),
                ((None, "red"), (1, "green"), (2, "red")),
            ),
            Stat(
                "Paused by an operator",
                "1: the drain, and orders wait. 2: the intake, and orders are refused. 3: both.",
                "short",
                Query("max(flashsale_drain_paused) + 2 * max(flashsale_intake_paused)", "paused"),
                ((None, "green"), (1, "orange")),
            ),
            Stat(
                "Most in any second",
                "Most orders released to the database in any second, by the drain's own count.",
                "short",
                Query("max(flashsale_released_max_1s_orders)", "most"),
            ),
            Stat(
                "Oversold",
                "Items sold over the stock. Any value but zero is a broken promise.",
                "short",
                Query(f"sum(flashsale_sale_oversold_items{_SKU})", "oversold"),
                ((None, "green"), (1, "red")),
            ),
        ],
        [
            Graph(
                "Arrivals and accepted orders",
                "Orders a second that arrive, and that are answered with a 202.",
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
                "Orders a second released to the database. They must not exceed the limit. An"
                " adaptive limit is below the cap while the database is slow.",
                "ops",
                [
                    Query(_RELEASED, "released"),
                    Query("max(flashsale_drain_rate_limit)", "limit"),
                    Query("max(flashsale_drain_rate_cap)", "cap"),
                ],
            ),
            Graph(
                "Backlog against its limit",
                "Ready orders in the queue, and unacknowledged orders of the drain.",
                "short",
                [
                    Query("max(flashsale_backlog_orders)", "waiting"),
                    Query("sum(flashsale_backlog_unacked_orders)", "in hand"),
                    Query("max(flashsale_backlog_limit_orders)", "limit"),
                ],
            ),
            Graph(
                "Refused, by reason",
                "Orders a second that are not answered with a 202, by the type of the problem.",
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
                "Stock, sold and held",
                "Stock of each sale, items sold, items held for payments, and orders that wait for"
                " them.",
                "short",
                [
                    Query(f"max by (sku) (flashsale_sale_stock_items{_SKU})", "stock {{sku}}"),
                    Query(f"max by (sku) (flashsale_sale_sold_items{_SKU})", "sold {{sku}}"),
                    Query(f"max by (sku) (flashsale_sale_held_items{_SKU})", "held {{sku}}"),
                    Query(f"max by (sku) (flashsale_sale_waiting_orders{_SKU})", "wait {{sku}}"),
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
                "Time from the request to its answer, the broker's confirm included.",
                "s",
                quantiles("flashsale_accept_seconds"),
            ),
            Graph(
                "Time in line",
                "Time from the 202 to the release, of the order released last.",
                "s",
                [Query("max(flashsale_backlog_oldest_seconds)", "oldest")],
            ),
            *HOLD_GRAPHS,
        ],
    )
