"""A consumer by Celery and psycopg: `celery -A loadtest.peers.celery_worker worker`."""

import functools
import os
import time
from typing import Any

import psycopg
from celery import Celery

app = Celery("shop", broker=os.environ["AMQP_URL"])
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_default_queue="celery-orders",
    task_acks_late=True,
    task_ignore_result=True,
)


@functools.cache
def database() -> psycopg.Connection:
    """Return the database connection of this worker process."""
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


@app.task(rate_limit=os.environ.get("RATE_LIMIT"))  # type: ignore[untyped-decorator]
def sell(order: dict[str, Any]) -> None:
    """Sell the order if there is stock, and record the outcome, in one transaction."""
    now = time.time()
    with database().transaction() as transaction, database().cursor() as cursor:
        cursor.execute(
            "UPDATE sales SET sold = sold + %(quantity)s"
            " WHERE sku = %(sku)s AND sold + %(quantity)s <= stock",
            order,
        )
        status = "confirmed" if cursor.rowcount else "rejected"
        cursor.execute(
            "INSERT INTO orders VALUES (%(id)s, %(sku)s, %(customer_id)s, %(quantity)s,"
            " %(status)s, %(accepted_at)s, %(now)s) ON CONFLICT DO NOTHING",
            {**order, "status": status, "now": now},
        )
        if not cursor.rowcount:
            raise psycopg.Rollback(transaction)  # a redelivery
