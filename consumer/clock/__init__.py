"""The clock of the drain."""
