"""Webhooks: the rules about endpoints, their addresses, and when a delivery is tried again."""
