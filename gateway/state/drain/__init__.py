"""What the gateway knows of the drain: its speed, its clock, and what operators have set."""
