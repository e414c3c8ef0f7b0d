"""The operator's addresses under `/admin`. Without a token in the settings there are none."""

from gateway.routes.admin import audit, dead, drain, intake

ROUTES = [*drain.ROUTES, *intake.ROUTES, *audit.ROUTES, *dead.ROUTES]
