"""Webhooks in the database: endpoints, deliveries that are to be made, and the log of attempts."""
