"""`make bench-scale`: measure how costs grow with workers, gateways, backlog, skus and orders."""
