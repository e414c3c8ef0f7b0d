"""The models of request and answer, and the two tables, that all peers share."""

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
    """A queued order."""

    id: str
    accepted_at: float


class Receipt(BaseModel):
    """The body of a 202. The peers do not know the position in the queue."""

    order_id: str
    status: Literal["queued"] = "queued"
    position: int | None = None
    eta_seconds: float | None = None
