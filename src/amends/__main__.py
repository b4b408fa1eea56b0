"""`amends`, and `python -m amends`."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from amends.coordinator.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
