"""One month's forecast from Python: an example to copy.

    python scripts/fit_month.py PRICES UNIVERSE ORIGIN OUT [EARNINGS]

The same as `bdfm forecast --prices PRICES --universe UNIVERSE --origin ORIGIN --out OUT`.
"""

import sys
from pathlib import Path

import bdfm


def main(prices: str, universe: str, origin: str, out: str, earnings: str | None = None) -> None:
    """Fit, forecast, write."""
    model = bdfm.FactorModel.from_preset("m6")
    panel = bdfm.Panel.from_prices(
        bdfm.read_prices(prices),
        bdfm.read_universe(universe),
        origin=origin,
        earnings=bdfm.read_earnings(earnings) if earnings else None,
        settings=model.panel,
    )
    posterior = bdfm.fit(model, panel, seed=1, progress=True)
    print(posterior.diagnose().verdict)
    forecast = posterior.forecast(seed=1)
    # Judgement goes here, for example: forecast = forecast.zero("DRE").shift("TLT", 0.01)
    print(forecast.summary())

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    posterior.save(folder / "posterior.nc")
    forecast.save(folder / "forecast.nc")
    forecast.write_submission(folder / "submission.csv")


if __name__ == "__main__":
    main(*sys.argv[1:])
