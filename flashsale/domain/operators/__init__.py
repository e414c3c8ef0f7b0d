"""What operators may change, each change as a pure rule, and why one is refused."""
