"""Deliveries in the ledger's tables: their begin, and their end."""
