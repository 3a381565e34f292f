"""Files of forecasts that are sealed and not as ``save`` writes them: read as they mean, or refused."""

import numpy as np
import pytest

from bdfm import _sealed
from bdfm.errors import DataError, FileError
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.risk import portfolio_risk
from bdfm.scoring.alarm import month_pits

N = 240


def made(**more):
    rng = np.random.default_rng(1)
    weights = rng.random(N)
    return Forecast.from_draws(
        0.05 * rng.standard_normal((N, 3)), assets=["A", "B", "C"], asset_class=["x"] * 3,
        origin="2021-05-14", end="2021-06-11", weights=weights, posterior_draw=np.arange(N) % 20, **more,
    )  # fmt: skip


def odd(path, change):
    dataset = _sealed.load_dataset(made().save(path), kind="forecast")
    return _sealed.save_dataset(change(dataset), path, kind="forecast")


def values(name, change):
    """Change of one variable's values, coordinate or not."""

    def make(dataset):
        assign = dataset.assign_coords if name in dataset.coords else dataset.assign
        return assign({name: (dataset[name].dims, change(dataset[name].values))})

    return make


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.drop_vars("asset"), "asset"),
        (lambda d: d.drop_vars("class_of"), "class_of"),
        (lambda d: d.drop_vars("name"), "name"),
        (lambda d: d.drop_vars("weights"), "weights"),
        (lambda d: d.drop_vars("returns"), "returns"),
        (lambda d: d.rename(draw="path"), "is along path"),
        (lambda d: d.isel(draw=0), "is along asset"),
        (values("weights", lambda x: np.full_like(x, np.nan)), "weights do not sum to 1"),
        (values("weights", lambda x: np.zeros_like(x)), "weights do not sum to 1"),
        (values("weights", lambda x: 2 * x), "weights do not sum to 1"),
        (values("returns", lambda x: np.where(x == x[0, 0], np.nan, x)), "NaN or infinite|finite"),
        (values("posterior_draw", lambda x: x - 1), "numbers below 0"),
        (values("posterior_draw", lambda x: np.where(x == 1, np.nan, x)), "of type float64"),
        (values("posterior_draw", lambda x: x > 0), "posterior_draw is of type"),
        (values("posterior_draw", lambda x: x + 2**40), "beyond 2,147,483,648"),
        (values("posterior_draw", lambda x: x.astype(str)), "posterior_draw is of type"),
    ],
)
def test_what_is_none(change, said, tmp_path):
    path = odd(tmp_path / "f.nc", change)
    with pytest.raises((FileError, DataError), match=said):
        Forecast.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.transpose(),
        lambda d: d.assign(extra=("nothing", [1, 2])),
        values("posterior_draw", lambda x: x.astype("i4")),
        values("posterior_draw", lambda x: x.astype("u8")),
        values("returns", lambda x: x.astype("f8")),
        values("weights", lambda x: x.astype("f4")),
    ],
)
def test_what_is_written_in_another_way(change, tmp_path):
    """Scores, measures of risk and probabilities are those of the file as it was."""
    found, known = Forecast.load(odd(tmp_path / "f.nc", change)), made()
    assert found.weights.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(found.quantile_probabilities(5), known.quantile_probabilities(5), atol=1e-6)
    assert np.isfinite(list(month_pits(found, {"A": 0.01, "B": 0.02, "C": -0.03}, seed=1).values())).all()
    held = {"A": 0.5, "B": 0.5}
    np.testing.assert_allclose(
        portfolio_risk(found, held).table, portfolio_risk(known, held).table, rtol=1e-4
    )


def test_positions_far_beyond_the_draws_cost_no_memory():
    known = made()
    held = {"A": 0.5, "B": 0.5}
    far = Forecast.from_draws(
        known.draws.to_numpy(), assets=known.assets, asset_class=["x"] * 3, origin="2021-05-14",
        end="2021-06-11", weights=known.weights.to_numpy(), posterior_draw=(np.arange(N) % 20) * 100_000_000,
    )  # fmt: skip
    np.testing.assert_allclose(portfolio_risk(far, held).table, portfolio_risk(known, held).table, rtol=1e-6)
