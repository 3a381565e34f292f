"""The simulator of estimation error: what theory says of the sample covariance, and what structure buys."""

import numpy as np
import pytest

from bdfm.errors import DataError
from bdfm.risk import estimation_error, parameter_counts, plot_estimation_error


@pytest.fixture(scope="module")
def table():
    return estimation_error((40, 160), (20, 60), (0.5, 2.0), n_simulations=8, seed=3)


@pytest.mark.long
def test_volatilities_err_by_one_over_the_root_of_twice_the_periods(table):
    for t in (40, 160):
        own = table.xs((t, "sample"), level=("n_periods", "estimate"))["volatility"]
        np.testing.assert_allclose(own, 1 / np.sqrt(2 * (t - 1)), rtol=0.35)


def test_structure_helps_where_parameters_are_many(table):
    error = table["covariance"].unstack()
    assert (error["regressions"] < error["sample"]).all()
    # Components win where assets are many beside periods; with 20 assets and much noise they may lose.
    noisy = error.xs((60, 2.0), level=("n_assets", "noise"))
    assert (noisy["components"] < noisy["sample"]).all()
    longer = table["covariance"].unstack("n_periods")
    assert (longer[160] < longer[40]).mean() > 0.9
    safest = table["minimum_variance"].unstack()
    assert np.isnan(safest.loc[(40, 60, 0.5), "sample"])  # more assets than periods: no inverse
    t, n = 160, 60  # Pafka and Kondor: sample portfolios are 1 / (1 - N/T) too bold
    assert safest.loc[(t, n, 0.5), "sample"] == pytest.approx(1 / (1 - n / t), rel=0.1)
    known = safest["sample"].notna()
    assert (safest["regressions"] < safest["sample"])[known].all()
    assert (safest["regressions"] < safest["components"]).all()


def test_counts_stand_beside_errors(table):
    counts = parameter_counts(20, 3, 160)
    row = table.loc[(160, 20, 0.5, "components")]
    assert row["parameters"] == counts.loc["factor model", "parameters"]
    assert row["returns_per_parameter"] == pytest.approx(160 * 20 / row["parameters"])
    panels = plot_estimation_error(table).axes
    assert len(panels) == 4
    assert [text.get_text() for text in panels[-1].get_xticklabels()] == ["40", "160"]
    assert len(panels[-1].get_xticks(minor=True)) == 0  # their labels would lie over these
    again = estimation_error((40,), (20,), (0.5,), n_simulations=2, seed=3)
    assert again.equals(estimation_error((40,), (20,), (0.5,), n_simulations=2, seed=3))


def test_what_cannot_be_simulated():
    with pytest.raises(DataError, match="At least 10 periods and 4 assets"):
        estimation_error((9,), (20,), seed=1)
    with pytest.raises(DataError, match="noise"):
        estimation_error((60,), (20,), (0.0,), seed=1)
