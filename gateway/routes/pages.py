"""`GET /`: the shopper's page and its assets."""

from aiohttp import web

from gateway.openapi.operation import files
from gateway.pages import SHOP_TYPES, shop_files

ROUTES = [web.get(path, handler) for path, handler in shop_files()]

OPERATIONS = files(SHOP_TYPES)
