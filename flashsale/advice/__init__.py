"""Which queue fits which situation, and the figures for it."""
