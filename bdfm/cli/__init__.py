"""Command line: parses, calls the package, prints; a command imports what it needs when it runs."""


def main() -> None:
    """Entry point of ``bdfm``."""
    from bdfm.cli.app import main as run

    run()
