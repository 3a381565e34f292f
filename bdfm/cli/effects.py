"""Options that have an effect only beside others: what each needs, by command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from bdfm.errors import DataError

Given = Mapping[str, Any]  # what is on the line, by parameter


class Needs(NamedTuple):
    """What an option needs to have an effect: in words, and whether it is there."""

    words: str
    there: Callable[[Given], bool]


def _one_of(*options: str) -> Needs:
    """Another option on the line."""
    names = " or ".join(f"--{o.replace('_', '-')}" for o in options)
    return Needs(names, lambda given: any(given.get(o) not in (None, []) for o in options))


def _methods(*names: str, usual: str = "", study: bool = False) -> Needs:
    """One of the methods of ``exposures``; some are taken where none is named, with ``--study`` more."""

    def there(given: Given) -> bool:
        chosen = given.get("method") or []
        return bool(set(chosen) & set(names)) or (
            not chosen and (bool(usual) or (study and "study" in given))
        )

    return Needs(" or ".join(f"--method {n}" for n in names), there)


_AUTO: Final = Needs("--draws auto", lambda given: set(given.get("draws") or ["auto"]) == {"auto"})

# By command and parameter
NEEDS: Final[dict[str, dict[str, Needs]]] = {
    "backtest": {"max_rhat": _AUTO, "min_ess": _AUTO, "max_sweeps": _AUTO},
    "check": {"unit": _one_of("factors")},
    "decide": {"universe": _one_of("mandate")},
    "exposures": {
        "window_days": _methods("rolling", usual="rolling"),
        "latents": _methods("pca", "vae", study=True),
        "gamma": _methods("vae"),
        "smoothed": _methods("constant", "kalman", "dcc", "bayes", "pca", "vae", usual="constant"),
    },
    "risk": {
        "unit": _one_of("factors"),
        "hedge_limits": _one_of("hedge"),
        "level": _one_of("backtest", "posterior"),
        "seed": _one_of("posterior"),
    },
    "stress": {"unit": _one_of("factors")},
}


def refuse_idle(command: str, given: Given, written: Callable[[str], str]) -> None:
    """Raise ``DataError`` for an option on the line without what it has an effect on.

    ``written``: how a parameter is written.
    """
    for name, needs in NEEDS.get(command, {}).items():
        if given.get(name) not in (None, [], [False]) and not needs.there(given):
            option = written(name)
            raise DataError(
                f"{option}: has no effect without {needs.words}. Add that, or leave {option} out."
            )
