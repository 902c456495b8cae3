"""XenStore: a codec without I/O, the client, the server."""
