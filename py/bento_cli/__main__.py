"""Entry point for `python -m bento_cli`."""

import sys

from bento_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
