"""Split drivers: what connects a guest's frontends to their backends."""
