import re

import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats

from bdfm.errors import DataError
from bdfm.inference.diagnostics import BFMI_MIN, ESS_MIN, RHAT_MAX, diagnose
from bdfm.inference.ess import bfmi, ess_bulk, ess_tail, mcse_mean, rhat

AXES = {"chain_axis": 0, "draw_axis": 1}
KERNELS = {
    "rhat": (rhat, lambda x: array_stats.rhat(x, method="rank", **AXES)),
    "ess_bulk": (ess_bulk, lambda x: array_stats.ess(x, method="bulk", **AXES)),
    "ess_tail": (ess_tail, lambda x: array_stats.ess(x, method="tail", prob=(0.05, 0.95), **AXES)),
    "mcse_mean": (mcse_mean, lambda x: array_stats.mcse(x, method="mean", **AXES)),
}


def autoregressive(rng, n_chain, n_draw, phi):
    phi = np.asarray(phi, dtype=float)
    draws = rng.standard_normal((n_chain, n_draw, len(phi)))
    for t in range(1, n_draw):
        draws[:, t] += phi * draws[:, t - 1]
    return draws


def awkward(rng, n_chain, n_draw):
    """Quantities that break a careless kernel, (chain, draw, quantity)."""
    ar = autoregressive(rng, n_chain, n_draw, [-0.95, -0.5, 0, 0.5, 0.9, 0.99, 1])
    offset = np.arange(n_chain)[:, None, None]
    return np.concatenate(
        [
            ar,
            rng.standard_t(1, (n_chain, n_draw, 2)),  # no mean
            np.round(ar),  # ties
            (ar > 1).astype(float),  # two values
            ar * np.exp(offset),  # scales differ between chains
            ar + 3 * offset,  # chains apart
            np.exp(3 * ar),
            np.broadcast_to(3.0, (n_chain, n_draw, 1)),  # constant
            np.broadcast_to(1.0 * offset, (n_chain, n_draw, 1)),  # chains stand still, apart
            1e-9 * ar - 5e-7,  # as small as covariances of bonds
        ],
        axis=2,
    )


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("n_draw", [4, 5, 6, 7, 9, 50, 101, 400])
@pytest.mark.parametrize("n_chain", [2, 4])
@pytest.mark.filterwarnings("ignore:(invalid|divide by zero) value|divide by zero encountered:RuntimeWarning")
def test_kernels_equal_arviz(rng, name, n_draw, n_chain):
    kernel, oracle = KERNELS[name]
    # Of few digits, so that distances to the median are exact: ArviZ ranks equal ones by their last digits.
    mantissa, exponent = np.frexp(awkward(rng, n_chain, n_draw))
    draws = np.ldexp(np.round(mantissa * 2**20) / 2**20, exponent)
    expected = oracle(draws)
    assert np.isfinite(expected).sum() >= 30
    # Where all stand still, apart, what is not rounded away says whether R-hat is huge or infinite.
    found, expected = (np.where(x > 1e6, np.inf, x) for x in (kernel(draws), expected))
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("n_draw", [4, 40, 500])
def test_last_digits_do_not_change_rhat(rng, n_draw):
    """The two middle draws are as far from the median between them, whichever way that is rounded."""
    draws = awkward(rng, 2, n_draw)[:, :, :7]
    found = rhat(draws)
    for shift in (1e-3, 0.1, 1 / 3, 7.7):
        moved = draws + shift
        assert (np.argsort(moved, axis=None) == np.argsort(draws, axis=None)).all()
        np.testing.assert_array_equal(rhat(moved), found)


def test_one_chain_has_ess_but_no_rhat(rng):
    draws = autoregressive(rng, 1, 200, [0.0, 0.9])
    assert np.isnan(rhat(draws)).all()
    np.testing.assert_allclose(ess_bulk(draws), KERNELS["ess_bulk"][1](draws), rtol=1e-8)


def test_blocks_of_quantities_and_axes_do_not_matter(rng, monkeypatch):
    draws = autoregressive(rng, 2, 60, np.linspace(0, 0.9, 12))
    shaped = draws.reshape(2, 60, 3, 4)
    for kernel, _ in KERNELS.values():
        whole = kernel(draws)
        with monkeypatch.context() as patch:
            patch.setattr("bdfm.inference.ess._BLOCK_BYTES", 8 * 2 * 60 * 5)
            np.testing.assert_array_equal(kernel(shaped), whole.reshape(3, 4))
    assert rhat(draws[:, :, 0]).shape == ()
    assert rhat(draws[:, :, :0]).shape == (0,)


def test_special_values(rng):
    draws = rng.standard_normal((2, 40, 4))
    draws[0, 3, 1] = np.nan
    draws[1, 7, 2] = np.inf
    draws[:, :, 3] = 7.0
    for kernel, _ in KERNELS.values():
        assert np.isnan(kernel(draws)[1:3]).all()
        assert np.isfinite(kernel(draws)[0])
        assert np.isnan(kernel(draws[:, :3])).all()
    assert np.isnan(rhat(draws)[3])
    assert ess_bulk(draws)[3] == ess_tail(draws)[3] == 80
    assert mcse_mean(draws)[3] == 0
    with pytest.raises(DataError, match=r"expected \(chain, draw, \.\.\.\), got an array of shape \(3,\)"):
        rhat(np.ones(3))


def test_ess_of_an_autoregression_is_that_of_theory(rng):
    phi = 0.8
    draws = autoregressive(rng, 4, 4000, np.full(20, phi))[:, 200:]
    expected = draws.shape[0] * draws.shape[1] * (1 - phi) / (1 + phi)
    assert ess_bulk(draws).mean() == pytest.approx(expected, rel=0.05)


def test_bfmi_equals_arviz(rng):
    energy = autoregressive(rng, 3, 100, [0.7])[..., 0]
    np.testing.assert_allclose(bfmi(energy), array_stats.bfmi(energy, **AXES))


@pytest.fixture
def quantities(rng):
    """500 independent draws of 4 chains: converged."""
    shape = (4, 500)
    normal = rng.standard_normal
    return xr.Dataset(
        {
            "common_variance": (("chain", "draw", "asset"), normal((*shape, 3)) ** 2),
            "beta_rv": (("asset", "chain", "draw", "window"), normal((3, *shape, 2))),
            "rho": (("chain", "draw"), normal(shape)),
            "nu": (("chain", "draw", "asset"), np.broadcast_to([7.0, 7.0, 7.0], (*shape, 3))),
            "weights": ("asset", [1.0, 2.0, 3.0]),
        },
        coords={"asset": ["XOM", "TLT", "IVV"], "window": [5, 21]},
    )


@pytest.fixture
def sample_stats(rng):
    return xr.Dataset(
        {
            "diverging": (("chain", "draw"), np.zeros((4, 500), dtype=bool)),
            "energy": (("chain", "draw"), rng.standard_normal((4, 500))),
        }
    )


def test_converged(quantities, sample_stats):
    result = diagnose(quantities, sample_stats)
    assert result.converged
    assert result.advice == ()
    assert result.divergences == 0
    assert result.n_constant == 3
    assert list(result.table.index) == ["common_variance", "beta_rv", "rho"]
    assert list(result.table["elements"]) == [3, 6, 1]
    assert re.fullmatch(
        r"converged: worst R-hat 1\.00\d \(.+\), min ESS 1\d{3} bulk / 1\d{3} tail, no divergences,"
        r" BFMI [12]\.\d\d",
        result.verdict,
    )
    assert repr(result) == f"<bdfm.Diagnosis {result.verdict}>"


def test_table_equals_the_kernels(quantities):
    result = diagnose(quantities)
    slopes = quantities["beta_rv"].transpose("chain", "draw", "asset", "window").to_numpy()
    row = result.table.loc["beta_rv"]
    assert row["max_rhat"] == pytest.approx(rhat(slopes).max(), rel=1e-12)
    assert row["min_ess_bulk"] == pytest.approx(ess_bulk(slopes).min(), rel=1e-12)
    assert row["min_ess_tail"] == pytest.approx(ess_tail(slopes).min(), rel=1e-12)
    asset, window = np.unravel_index(rhat(slopes).argmax(), (3, 2))
    assert row["max_rhat_at"] == f"{['XOM', 'TLT', 'IVV'][asset]}, {[5, 21][window]}"
    assert result.max_rhat == result.table["max_rhat"].max()
    assert result.min_ess_bulk == result.table["min_ess_bulk"].min()
    assert result.min_ess_tail == result.table["min_ess_tail"].min()


def test_engine_without_energy_or_divergences(quantities):
    result = diagnose(quantities, xr.Dataset())
    assert result.divergences is None
    assert result.min_bfmi is None
    assert result.converged
    assert "divergence" not in result.verdict
    assert "BFMI" not in result.verdict


def test_each_missed_threshold_has_its_advice(quantities, sample_stats, rng):
    quantities["common_variance"].loc[{"asset": "TLT", "chain": 2}] += 2
    quantities["rho"][:] = autoregressive(rng, 4, 500, [0.95])[..., 0]
    sample_stats["diverging"][1, :3] = True
    sample_stats["energy"][3] = np.cumsum(sample_stats["energy"][3])
    result = diagnose(quantities, sample_stats)
    assert not result.converged
    assert result.max_rhat > RHAT_MAX
    assert result.min_ess_bulk < ESS_MIN
    assert result.min_bfmi < BFMI_MIN
    expected = [
        r"R-hat of common_variance\[TLT\] is 1\.\d{3}; 2 elements above 1\.01: .* Double tune",
        r"(rho|common_variance\[TLT\]) has \d+ effective draws \(bulk\), below 400: its centre is .* \d+\.",
        r"\w+(\[TLT\])? has \d+ effective draws \(tail\), below 400: its 5 % and 95 % quantiles are",
        r"3 divergent transitions: .* target_accept",
        r"BFMI 0\.0\d is below 0\.3: .* Double tune",
    ]
    assert len(result.advice) == len(expected)
    for line, pattern in zip(result.advice, expected, strict=True):
        assert re.match(pattern, line), line
    assert result.verdict.startswith("not converged: worst R-hat 1.")
    assert ", 3 divergences, BFMI 0.0" in result.verdict


def test_values_are_rounded_to_the_bad_side(quantities):
    result = diagnose(quantities)
    result.elements.loc[0, ["rhat", "ess_bulk", "ess_tail"]] = [1.01004, 399.9, 400.0]
    assert not result.converged
    assert "worst R-hat 1.011 (common_variance[XOM]), min ESS 399 bulk / 400 tail" in result.verdict
    assert len(result.advice) == 2


def test_one_chain_never_converges(quantities):
    result = diagnose(quantities.isel(chain=[0]))
    assert not result.converged
    assert result.verdict.startswith("not converged: one chain only, worst R-hat")
    assert "run at least two" in result.advice[0]


def test_chains_standing_apart(quantities):
    quantities["rho"][:] = np.arange(4)[:, None]
    result = diagnose(quantities)
    assert result.max_rhat > 1e6
    assert "worst R-hat above 100 (rho)" in result.verdict


def test_errors(quantities):
    with pytest.raises(DataError, match="7 draws in a chain, at least 8 are needed"):
        diagnose(quantities.isel(draw=slice(7)))
    with pytest.raises(DataError, match="no dimension chain, found draw, asset"):
        diagnose(quantities[["common_variance"]].isel(chain=0))
    with pytest.raises(DataError, match="none of the quantities varies over the draws"):
        diagnose(quantities[["nu", "weights"]])
    quantities["common_variance"][1, 2, 2] = np.nan
    with pytest.raises(DataError, match=r"common_variance has draws that are not finite \(IVV\)"):
        diagnose(quantities)
    quantities["rho"][0, 0] = np.inf
    with pytest.raises(DataError, match=r"rho has draws that are not finite\. The fit has failed"):
        diagnose(quantities[["rho"]])


def test_html_and_plot(quantities):
    quantities = quantities.assign_coords(asset=["<b>", "TLT", "IVV"])
    quantities["common_variance"][0] += 1
    result = diagnose(quantities)
    html = result._repr_html_()
    assert "<b>," not in html
    assert "&lt;b&gt;" in html
    assert "4 chains of 500 draws; 10 elements judged, 3 fixed by the model left out" in html
    assert html.count("<li>") == len(result.advice) > 0
    figure = result.plot()
    assert [axes.get_title() for axes in figure.axes] == [
        "R-hat (at most 1.01)",
        "ESS, bulk (at least 400)",
        "ESS, tail (at least 400)",
    ]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(result.table.index)
    drawn = [sum(len(line.get_xdata()) for line in axes.lines[:2]) for axes in figure.axes]
    assert drawn == [10, 10, 10]
