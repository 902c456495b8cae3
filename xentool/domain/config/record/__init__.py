"""libxl's record of a domain (libxl_domain_config as JSON), made of a config."""
