"""`flashsale demo --sink`: the same spike at a shop, without and with the gateway in front."""
