"""The application: its commands, its version, and how errors and warnings look."""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from bdfm import _renamed
from bdfm.cli import backtest, check, exposures, judgement, ledger, models, month, numbers, risk, scoring
from bdfm.cli.command import Command
from bdfm.cli.console import LEFT, err, guarded, interruptible, out
from bdfm.errors import BdfmError, BdfmWarning, DataError

# Linear algebra on one thread, unless a user says otherwise: the last digits of a sum depend on how many
# share it, and work is shared out in larger pieces. Read when NumPy is loaded, which is later.
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")

# What the system says of a write, here to standard output: files tell their own errors by name.
UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE)

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)


def _version(wanted: bool) -> None:
    if wanted:
        from bdfm import __version__

        out.print(f"bdfm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Calibrated joint probabilities of next month's returns, from a Bayesian dynamic factor model."""


COMMANDS = [
    guarded(command)
    for group in (month, check, judgement, ledger, scoring, models, backtest, risk, exposures)
    for command in group.COMMANDS
]
for command in COMMANDS:
    app.command(cls=Command)(command)


@functools.cache
def _program() -> Callable[[], None]:
    """All commands, made of their functions once in a process: that takes longer than some of them."""
    program = typer.main.get_command(app)
    return lambda: program(numbers.words(_renamed.words(sys.argv[1:]), COMMANDS))


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    from rich.text import Text

    if issubclass(category, BdfmWarning) and str(message) not in _warned:
        _warned.add(str(message))  # what is looked at again, after the fit, is no news
        err.print(Text.assemble(("Warning: ", "yellow"), _printable(message)), soft_wrap=True)


def _printable(text: object) -> str:
    """Text whose characters all show: those that turn a line around or ring a bell are spelled out."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in str(text))


_signals: list[int] = []  # those that came while a command runs
_warned: set[str] = set()  # texts that it has warned of


def _stop(number: int, _: object) -> None:
    """End as after an error, so that what is half made is removed; a second signal does not wait for that."""
    _signals.append(number)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _stop_at_once)
    sys.unraisablehook = functools.partial(_lost, number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    _say("Stopped from outside. What was being written was not kept.")
    raise SystemExit(128 + number)


def _stop_at_once(number: int, _: object) -> NoReturn:
    _say("Stopped at once. Files are whole; the next run removes what is left of this one.")
    os._exit(128 + number)


def _lost(number: int, unraisable: sys.UnraisableHookArgs) -> None:
    """Stop again where Python dropped the error that was to stop all, as in a destructor; silent otherwise.

    Files that are half open complain while the rest is taken down: that is no news to a user.
    """
    if isinstance(unraisable.exc_value, KeyboardInterrupt | SystemExit):
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, _stop)
        again = threading.Timer(0.001, os.kill, (os.getpid(), number))  # once this one is through
        again.daemon = True
        again.start()


def _say(text: str) -> None:
    """Tell a user from within a handler of signals, which may have come while something was printed."""
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode())


def _check_threads() -> None:
    """Raise ``DataError`` for what is no number of threads: Numba ends on some, and passes over others."""
    given = os.environ.get("NUMBA_NUM_THREADS", "").strip()
    try:
        number = int(given or "1")
    except ValueError:
        number = 0
    if number < 1:
        raise DataError(f"NUMBA_NUM_THREADS: {given} is no number of threads. Give 1 or more, or unset it.")


def _check_pictures() -> None:
    """Raise ``DataError`` for settings of pictures in this folder that cannot be read.

    The library looks for them while it is imported, before it can be told to leave them alone.
    """
    try:
        if not os.path.lexists("matplotlibrc"):
            return
        if os.path.isfile("matplotlibrc"):
            Path("matplotlibrc").read_text(encoding="utf-8")
            return
    except (OSError, ValueError):
        pass
    raise DataError("matplotlibrc: this file of the working folder cannot be read as text. Take it away.")


def _flush() -> None:
    """Write what was printed, as long as somebody reads it; raises ``OSError`` where it cannot be written."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _mute()
    except BaseException:  # a signal, while whoever reads lets it wait
        _mute()
        raise


def _mute() -> None:
    """Print nothing more: Python would try again, and complain, when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def main() -> None:
    """Entry point: ends with the exit code of the command (``SystemExit``)."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files; a backend of windows may not be there
    os.environ["BDFM_PLAIN_PICTURES"] = "1"  # bdfm._figures.PLAIN, which loads NumPy
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.simplefilter("always", BdfmWarning)
    warnings.showwarning = _show_warning
    _signals.clear()
    _warned.clear()
    hook = sys.unraisablehook
    before = {each: signal.signal(each, _stop) for each in (signal.SIGINT, signal.SIGTERM)}
    code: Any = None
    try:
        # A new error ends the process: the one that came holds frames whose files complain while they are
        # taken down, and does not outlive this call. After a stop that is no news: the hook is silent here.
        code = _code()
        if sys.unraisablehook is not hook:
            gc.collect()
    finally:
        sys.unraisablehook = hook
        for each, handler in before.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
    if code is not None:
        raise SystemExit(code)


def _code() -> Any:
    """Exit code of the command: errors made on purpose are one message and 2; None where it just returns."""
    try:
        try:
            with interruptible("Stopped before it began."):  # commands, once they run, say what they leave
                _check_threads()
                _check_pictures()
                _program()()
        finally:
            with interruptible("Stopped while its output was read. What it wrote to files is whole."):
                _flush()
    except SystemExit as stop:
        return stop.code
    except Exception:
        if not _signals:
            return _told()
        # A library made another error of the one that was to stop all.
        if _signals[0] == signal.SIGINT:
            _say(LEFT)
        return 128 + _signals[0]
    return None


def _is_nowhere() -> bool:
    """Whether the working folder was removed: relative paths lead nowhere then."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _told() -> int:
    """Exit code of the error that is being handled, which is told where it was made on purpose."""
    try:
        raise
    except BdfmError as error:
        from rich.text import Text

        err.print(Text.assemble(("Error: ", "red"), _printable(error)), soft_wrap=True)
        return 2
    except MemoryError:
        _say(
            "Error: memory: there is less than this needs. Files are whole, new or as they were. Close other"
            " programs, raise the limit of this one (ulimit -v), or take fewer draws or assets."
        )
        return 2
    except OSError as error:
        if _is_nowhere():
            _say("Error: the working folder is gone. Change to one that is there (cd), and try again.")
            return 2
        if error.filename is not None or error.errno not in UNWRITTEN:
            raise
        _mute()
        _say(f"Error: output: it cannot be written ({error.strerror}). Files are whole, new or as they were.")
        return 2
