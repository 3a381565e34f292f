"""Write docs/pictures/forecast.png: one forecast of the included data, and what came.

Run as ``python scripts/docs/picture.py``. It is the forecast of the tutorial: model house, origin 2021-12-31.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bdfm

ORIGIN, END = "2021-12-31", "2022-01-28"
PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "forecast.png"


def main() -> None:
    """Fit, forecast, draw."""
    prices, universe = bdfm.demo()
    model = bdfm.FactorModel.from_preset("house")
    panel = bdfm.Panel.from_prices(prices, universe, origin=ORIGIN, settings=model.panel)
    forecast = bdfm.fit(model, panel, seed=1).forecast(seed=2, n_draws=200_000)
    came = prices.loc[END] / prices.loc[:ORIGIN].iloc[-1] - 1

    draws = 100 * forecast.draws
    low, quarter, middle, three, high = (
        draws.quantile(q, "draw").to_numpy() for q in (0.05, 0.25, 0.5, 0.75, 0.95)
    )
    order = np.argsort(high - low)
    symbols = np.array(forecast.assets)[order]
    chances = 100 * forecast.quantile_probabilities().to_numpy()[order]

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 5.2), sharey=True, width_ratios=[1, 1.6], layout="constrained"
    )
    left.imshow(chances, aspect="auto", cmap="Blues", vmin=0, vmax=60)
    for (row, column), value in np.ndenumerate(chances):
        colour = "w" if value > 38 else "k"
        left.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    left.set_yticks(range(len(symbols)), symbols, fontsize=7)
    left.set_xticks(range(5), ["lowest", "2", "3", "4", "highest"], fontsize=8)
    left.set_title("Probability of each fifth, %", fontsize=9)

    rows = np.arange(len(symbols))
    right.hlines(rows, low[order], high[order], color="C0", alpha=0.35, lw=2, label="90 %")
    right.hlines(rows, quarter[order], three[order], color="C0", lw=4, label="50 %")
    right.plot(middle[order], rows, "|", color="w", ms=6)
    right.plot(100 * came[symbols], rows, "o", color="k", ms=3.5, label="what came")
    right.axvline(0, color="grey", lw=0.5)
    right.set_title(f"Return {ORIGIN} to {END}, %", fontsize=9)
    right.tick_params(labelsize=8)
    right.legend(fontsize=8, loc="upper right")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
