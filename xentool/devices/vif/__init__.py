"""Network interfaces: what one is to be, its nodes, and how its backend joins Domain-0's network."""
