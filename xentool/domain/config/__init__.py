"""A domain's config: xl.cfg or YAML in, one frozen `model.DomainConfig` out."""
