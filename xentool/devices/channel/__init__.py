"""Channels: further consoles of a guest, with a name, that end in a terminal or a socket of Domain-0."""
