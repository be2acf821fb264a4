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
    """Give each standard stream that the caller has closed its descriptor, so that no other file gets it.

    Standard input stays None. Writing to standard output fails, and messages for people go nowhere.
    """
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)
    for name, flags in (("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), "w", encoding="utf-8"))


if __name__ == "__main__":
    main()
