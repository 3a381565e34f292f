"""The command line, as ``bdfm`` and as ``python -m bdfm``."""

from __future__ import annotations


def main() -> None:
    """Run the command line; one that is stopped while it is loaded ends like one that is stopped later."""
    try:
        from bdfm.cli.app import main as run
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
