"""`make bench-scale`: how cost grows with workers, gateways, backlog, skus and orders."""
