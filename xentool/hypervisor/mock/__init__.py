"""A hypervisor that plays Xen for PV domains: it decodes the same bytes and refuses what Xen refuses."""
