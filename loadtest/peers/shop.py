"""What the peers share: the body they validate, what they answer, and their two tables."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = """
CREATE TABLE sales (
    sku text PRIMARY KEY,
    stock integer NOT NULL,
    sold integer NOT NULL DEFAULT 0 CHECK (sold <= stock)
);
CREATE TABLE orders (
    id text PRIMARY KEY,
    sku text NOT NULL,
    customer_id text NOT NULL,
    quantity integer NOT NULL,
    status text NOT NULL,
    accepted_at double precision NOT NULL,
    decided_at double precision NOT NULL
);
"""


class OrderRequest(BaseModel):
    """The body of `POST /orders`."""

    model_config = ConfigDict(extra="forbid")

    sku: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    customer_id: str = Field(min_length=1, max_length=128)
    quantity: int = Field(1, ge=1, le=1000)


class Order(OrderRequest):
    """An order on its way through the queue."""

    id: str
    accepted_at: float


class Receipt(BaseModel):
    """The answer. The peers don't know places in line."""

    order_id: str
    status: Literal["queued"] = "queued"
    position: int | None = None
    eta_seconds: float | None = None
