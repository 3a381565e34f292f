"""The command line, as ``bdfm`` and as ``python -m bdfm``."""

from __future__ import annotations


def main() -> None:
    """Run the command line; one that is stopped while it is loaded, or has ended, ends like any other."""
    try:
        from bdfm.cli.app import main as run

        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
