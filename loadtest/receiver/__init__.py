"""The order service of a shop, with a database that falls over above what it can take.

It is what the gateway stands in front of, in the demo, in benchmarks and in tests.
`python -m loadtest.receiver --help` starts it.
"""
