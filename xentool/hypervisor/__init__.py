"""The hypervisor port, and what stands behind it: real Xen, or the mock."""
