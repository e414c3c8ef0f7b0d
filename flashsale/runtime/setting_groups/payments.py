"""The settings of payments for orders that are held: where shoppers pay, and who tells of it."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from flashsale.domain.holds.pay_address import PayAddress
from flashsale.messages.standard_webhooks import parse_secret
from flashsale.runtime.environment import PREFIX, FromEnvironment


def _valid_template(template: str) -> str:
    if template:
        PayAddress(template)
    return template


def _valid_secrets(secrets: SecretStr) -> SecretStr:
    _keys(secrets)
    return secrets


def _keys(secrets: SecretStr) -> tuple[bytes, ...]:
    """Return the keys of secrets with spaces between. Raises `ValueError`."""
    keys = tuple(parse_secret(each) for each in secrets.get_secret_value().split())
    if not keys:
        raise ValueError("must have a secret whsec_...")
    return keys


class PaymentSettings(FromEnvironment):
    """The settings of payments. They are a part of `Settings`."""

    pay_url: Annotated[str, AfterValidator(_valid_template)] = Field(
        "",
        description="address at which shoppers pay for an order that is held, such as"
        " `https://pay.shop.example/checkout?order={order_id}`; `{sku}` and `{quantity}` are filled"
        " in, too. Unset: shoppers are told of none",
    )
    payment_secret: Annotated[SecretStr, AfterValidator(_valid_secrets)] | None = Field(
        None,
        description="secret `whsec_...` by which the payment provider signs what it tells"
        " `POST /payments` (Standard Webhooks); several with spaces between, while one is replaced"
        " by another. Unset: there is no such address",
    )

    demo_payments: bool | None = Field(
        None,
        description="whether there is a demonstration of a payment page, at which anybody pays for"
        " any order, and no money moves; only with `memory://`. Unset: there is one with"
        " `memory://`, unless one of the two settings above is set",
    )

    @model_validator(mode="after")
    def _demonstration_takes_no_money(self) -> Self:
        if self.demo_payments and self._takes_money:
            raise ValueError(
                f"{PREFIX}DEMO_PAYMENTS: anybody could pay without money, so it can't be set with"
                f" {PREFIX}PAY_URL or {PREFIX}PAYMENT_SECRET"
            )
        return self

    @property
    def _takes_money(self) -> bool:
        return bool(self.pay_url) or self.payment_secret is not None

    def may_demonstrate(self, *, embedded: bool) -> bool:
        """Return whether there is a demonstration of a payment page."""
        wanted = not self._takes_money if self.demo_payments is None else self.demo_payments
        return embedded and wanted

    @property
    def shop_pay_address(self) -> PayAddress | None:
        """The address of the shop at which orders are paid for, if it is set."""
        return PayAddress(self.pay_url) if self.pay_url else None

    @property
    def payment_keys(self) -> tuple[bytes, ...]:
        """The keys, one of which signs each payment that is told. None of them: none is taken."""
        return () if self.payment_secret is None else _keys(self.payment_secret)
