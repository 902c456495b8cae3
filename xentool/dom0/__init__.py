"""What Domain-0's own system does for backends: network links, block devices, firewall, programs."""
