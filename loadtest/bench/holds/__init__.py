"""`make bench-holds`: measure what holds cost the gateway, the drain and their memory."""
