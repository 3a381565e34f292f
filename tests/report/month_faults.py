"""Faults of a worker of Dask that is at work on a month: loaded by it before all else (``--preload``).

The folder BDFM_FAULTS says which: a file ``dies`` ends the first worker that has entered its month in a
ledger, a file ``stalls`` lets the first that holds the folder of its results wait for a file ``go``. A file
``waits`` is made where a worker finds that another one holds the folder.
"""

import os
import time
from pathlib import Path

from bdfm._folders import BusyError
from bdfm.ledger.ledger import Ledger
from bdfm.report import month, months

PLACE = Path(os.environ["BDFM_FAULTS"])
enter, fit, work = Ledger.enter, month.sampled, months._checked_or_run


def first(name: str) -> bool:
    """Whether a fault is to be, and this process is the first to come to it."""
    try:
        (PLACE / name).rename(PLACE / f"{name}.{os.getpid()}")
    except FileNotFoundError:
        return False
    return True


def entered_and_dead(ledger, folder):
    found = enter(ledger, folder)
    if first("dies"):
        os._exit(1)
    return found


def stalled(*args, **kwargs):
    if first("stalls"):
        while not (PLACE / "go").exists():
            time.sleep(0.02)
    return fit(*args, **kwargs)


def told(job, task):
    try:
        return work(job, task)
    except BusyError:
        (PLACE / "waits").touch()
        raise


Ledger.enter = entered_and_dead
month.sampled = stalled
months._checked_or_run = told
