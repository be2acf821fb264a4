"""The program `titlecard`: Ctrl-C ends it without a traceback, even while its modules are still imported."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from titlecard_console import cli  # noqa: PLC0415 -- inside, because it takes a good part of a second

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
