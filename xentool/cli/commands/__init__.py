"""What the commands do: one function each, named in `xentool.cli.table`."""
