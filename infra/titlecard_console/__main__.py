"""The program `titlecard`: Ctrl-C ends it without a traceback, even while its modules are still imported."""

import os
import sys


def main() -> None:
    """Run the command line."""
    open_closed_streams()
    try:
        from titlecard_console import cli  # noqa: PLC0415 -- inside, because it takes a good part of a second

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


def open_closed_streams() -> None:
    """Open the descriptor of each standard stream that the caller has closed, so that no other file gets it.

    Standard input and output stay None, and messages for people go nowhere.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if name == "stderr":
                sys.stderr = os.fdopen(descriptor, "w", encoding="utf-8")


if __name__ == "__main__":
    main()
