"""`/admin/webhooks`: the endpoints that are told about events, and what was sent to them."""

from gateway.routes.admin.webhooks import actions, deliveries, endpoints, replays

ROUTES = [
    *endpoints.ROUTES,
    *actions.ROUTES,
    *replays.ROUTES,
    *deliveries.ROUTES,
]

OPERATIONS = {
    **endpoints.OPERATIONS,
    **actions.OPERATIONS,
    **replays.OPERATIONS,
    **deliveries.OPERATIONS,
}
