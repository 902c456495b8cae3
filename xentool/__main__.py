"""`python3 -m xentool` is the command xentool."""

from __future__ import annotations

from xentool.cli.main import main

if __name__ == "__main__":
    main()
