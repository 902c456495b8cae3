"""What a domain is made of: config, kernel image, layout, page tables, builder."""
