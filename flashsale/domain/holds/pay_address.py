"""The address at which a shopper pays for an order that is held: a template of the shop."""

from string import Formatter
from urllib.parse import quote, urlsplit

FIELDS = ("order_id", "sku", "quantity")
_LONGEST = 2_000
_NO_ADDRESS = "must be an address of https:// or http://, or a path"


class PayAddress:
    """The address of the shop's payment page, made for each order."""

    def __init__(self, template: str) -> None:
        """Take a template such as `https://pay.shop.example/checkout?order={order_id}`.

        It may be a path of the site of the gateway, too. Raises `ValueError` if it can't be used.
        """
        if len(template) > _LONGEST or not (template.isascii() and template.isprintable()):
            raise ValueError(f"must be at most {_LONGEST} printable characters of ASCII")
        if any(character in template for character in " <>\"\\^`|'"):
            raise ValueError("must be an address, without spaces and quotes")
        _require_fields(template)
        try:
            parts = urlsplit(template)
            host = parts.hostname
        except ValueError as error:
            raise ValueError(_NO_ADDRESS) from error
        path_only = template.startswith("/") and not template.startswith("//")
        if not path_only and (parts.scheme not in ("http", "https") or not host):
            raise ValueError(_NO_ADDRESS)
        if "{" in parts.netloc:
            raise ValueError("must have its fields after the name of the server")
        self._template = template

    def of(self, order_id: str, sku: str, quantity: int) -> str:
        """Return the address at which this order is paid for."""
        return self._template.format(
            order_id=quote(order_id, safe=""), sku=quote(sku, safe=""), quantity=quantity
        )


def _require_fields(template: str) -> None:
    """Raise `ValueError` unless the template names the order, and only fields that there are."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError("must have a } for each {") from error
    named = [field for _, field, _, _ in parts if field is not None]
    plain = all(not spec and not conversion for _, _, spec, conversion in parts)
    if not plain or not set(named) <= set(FIELDS):
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise ValueError(f"may have the fields {known}, and no others")
    if "order_id" not in named:
        raise ValueError("must have the field {order_id}")
