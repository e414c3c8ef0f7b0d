"""Holds in the tables: each change locks the rows of its sales before it reads their orders."""
