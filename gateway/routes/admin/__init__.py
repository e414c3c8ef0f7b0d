"""The operator's addresses under `/admin`. Without a token in the settings there are none."""

from gateway.routes.admin import (
    audit,
    cancellations,
    dead,
    drain,
    intake,
    orders,
    sale_actions,
    sales,
    webhooks,
)

ROUTES = [
    *drain.ROUTES,
    *intake.ROUTES,
    *audit.ROUTES,
    *sales.ROUTES,
    *sale_actions.ROUTES,
    *orders.ROUTES,
    *cancellations.ROUTES,
    *dead.ROUTES,
    *webhooks.ROUTES,
]

OPERATIONS = {
    **drain.OPERATIONS,
    **intake.OPERATIONS,
    **audit.OPERATIONS,
    **sales.OPERATIONS,
    **sale_actions.OPERATIONS,
    **orders.OPERATIONS,
    **cancellations.OPERATIONS,
    **dead.OPERATIONS,
    **webhooks.OPERATIONS,
}
