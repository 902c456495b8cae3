"""The mock host: a background process that plays a machine with Xen on it."""
