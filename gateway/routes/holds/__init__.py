"""The addresses of orders that are held: payments, cancellations and extensions."""

from gateway.routes.holds import cancellations, demo_payments, extensions, payments

ROUTES = [*payments.ROUTES, *cancellations.ROUTES, *extensions.ROUTES]

OPERATIONS = {
    **payments.OPERATIONS,
    **cancellations.OPERATIONS,
    **extensions.OPERATIONS,
    **demo_payments.OPERATIONS,
}
