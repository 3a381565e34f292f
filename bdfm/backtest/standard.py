"""Baselines: what a user would otherwise do, from equal fifths to DCC-GARCH, each a forecaster."""

from __future__ import annotations

from bdfm._checks import known
from bdfm.backtest.dcc import DCC
from bdfm.backtest.filtered import FilteredHistorical
from bdfm.backtest.protocol import Forecaster
from bdfm.backtest.simple import EWMA, HAR, EqualFifths, HistoricalFifths, PCAFactors, Shrinkage


class _Baselines(dict[str, Forecaster]):
    """Baselines by name; another name is told with those that there are."""

    def __missing__(self, name: object) -> Forecaster:
        known([str(name)], list(self), what="baseline", where="baselines")
        raise KeyError(name)  # a key that is no text, but reads like one


def baselines() -> dict[str, Forecaster]:
    """All baselines with their default settings, by name; ``UnknownLabelError`` for another name."""
    return _Baselines(
        (forecaster.name, forecaster)
        for forecaster in (
            EqualFifths(),
            HistoricalFifths(),
            EWMA(label="ewma-normal", dof=None),
            EWMA(),
            EWMA(label="ewma-t-5d", correlation_days=5),
            HAR(),
            HAR(label="har-5d", correlation_days=5),
            Shrinkage(),
            Shrinkage(label="oas", method="oas"),
            FilteredHistorical(),
            DCC(),
            PCAFactors(),
        )
    )
