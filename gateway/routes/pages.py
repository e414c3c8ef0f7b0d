"""`GET /`: the shopper's page and its assets."""

from aiohttp import web

from gateway.pages import shop_files

ROUTES = [web.get(path, handler) for path, handler in shop_files()]
