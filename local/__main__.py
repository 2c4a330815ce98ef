"""`python -m local`. If a package is missing, it says how to install it."""

import sys

try:
    from local.command_line import main
except ImportError as error:
    if (error.name or "").partition(".")[0] in ("local", "shared"):
        raise
    sys.exit(
        f"{sys.executable} lacks what this needs ({error}). In the repository's folder: `make setup`, then"
        " .venv/bin/python -m local ..."
    )

if __name__ == "__main__":
    sys.exit(main())
