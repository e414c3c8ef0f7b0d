"""Who a shopper is, and what a shopper may buy, by the claims of signed tokens."""
