"""Real Xen under QEMU, for people and CI without a Xen host."""
