"""Reading the keys of a config that libxl alone honours: `read.read_beyond` makes `DomainConfig.beyond`."""
