"""Pictures of a posterior: what they show, not how it looks."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar

from bdfm.errors import UnknownLabelError
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.factor_model import FactorModel
from bdfm.posterior import places, plots
from bdfm.posterior.fit import fit


@pytest.fixture(scope="module")
def posterior(tiny_model, tiny_panel):
    settings = SamplerSettings(engine="gibbs", draws=150, tune=200, chains=2, thin=2)
    return fit(tiny_model, tiny_panel, seed=5, settings=settings)


@pytest.fixture(scope="module")
def aligned(posterior):
    return posterior.aligned().draws


@pytest.fixture(autouse=True)
def nothing_left_open():
    yield
    assert not plt.get_fignums()


def texts(axis):
    return [t.get_text() for t in axis.texts]


def test_factor_paths(aligned, tiny_panel):
    figure = plots.factor_paths(aligned, n_named=2)
    assert len(figure.axes) == 2
    median = 100 * aligned["factors"].median(("chain", "draw"))
    for k, axis in enumerate(figure.axes):
        np.testing.assert_allclose(axis.lines[0].get_ydata(), median[:, k])
    scaled = (aligned["loadings"] * aligned["factor_scale"]).mean(("chain", "draw")).isel(factor=0)
    top = scaled["asset"].values[np.argsort(-scaled.values)[:2]]
    assert f"+ {top[0]}, {top[1]}" in figure.axes[0].get_title(loc="left")
    assert figure.axes[0].get_title(loc="left").startswith("1   sd ")


def test_loadings(aligned, tiny_panel):
    figure = plots.loadings(aligned, tiny_panel)
    axis, bar = figure.axes
    image = axis.images[0].get_array()
    assert image.shape == (10, 2)  # eight assets and two headings
    labels = [t.get_text() for t in axis.get_yticklabels()]
    assert [i for i, x in enumerate(labels) if not x] == [0, 6]
    assert {"stock", "bond_etf"} <= set(texts(axis))
    scaled = 100 * (aligned["loadings"] * aligned["factor_scale"])
    mean = scaled.mean(("chain", "draw"))
    for row, label in enumerate(labels):
        if label:
            np.testing.assert_allclose(image[row], mean.sel(asset=label), rtol=1e-10)
    first = [float(mean.sel(asset=x)[0]) for x in labels[1:6]]
    assert first == sorted(first, reverse=True)
    low, high = scaled.quantile([0.05, 0.95], ("chain", "draw")).to_numpy()
    assert len(texts(axis)) - 2 == ((low > 0) | (high < 0)).sum()
    assert "without 0" in bar.get_xlabel()


def test_asset_map_does_not_depend_on_alignment(posterior, aligned, tiny_panel):
    one, other = (plots.asset_map(d, tiny_panel).axes[0] for d in (posterior.draws, aligned))
    np.testing.assert_allclose(
        one.collections[0].get_offsets(), other.collections[0].get_offsets(), atol=1e-9
    )
    assert texts(one) == texts(other)
    assert sorted(texts(one)) == sorted(tiny_panel.assets)
    assert "2 factors in 2 dimensions" in one.get_title()


def test_labels_do_not_cover_each_other(aligned, tiny_panel):
    figure = plots.asset_map(aligned, tiny_panel)
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in figure.axes[0].texts]
    assert len(boxes) == 8
    frame = figure.axes[0].get_window_extent()
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_points_of_a_plane_find_their_places(rng):
    place = rng.normal(size=(12, 2)) * [3, 1]
    found, stress = places.scale_to_plane(places.distances(place))
    assert stress < 1e-6
    np.testing.assert_allclose(places.distances(found), places.distances(place), atol=1e-5)
    assert found[:, 0].std() > found[:, 1].std()
    assert places.scale_to_plane(np.zeros((1, 1)))[0].shape == (1, 2)


def test_volatility_path(posterior, tiny_model, tiny_panel):
    axis = plots.volatility_path(posterior.draws, tiny_model, tiny_panel, "A4").axes[0]
    p, i = posterior.parameters(), 4
    ds = tiny_panel.dataset.isel(asset=i)
    log_sigma = (
        p["theta"][:, i, None]
        + p["beta_rv"][:, i] * ds["recent_volatility"].to_numpy()[None, :, 0]
        + p["beta_earnings"][:, i, None] * ds["earnings"].to_numpy()
    )
    band, median = axis.patches
    np.testing.assert_allclose(
        median.get_data().values, 100 * np.exp(np.median(log_sigma, axis=0)), rtol=1e-10
    )
    np.testing.assert_allclose(
        band.get_data().values, 100 * np.exp(np.quantile(log_sigma, 0.95, axis=0)), rtol=1e-10
    )
    assert len(median.get_data().edges) == 38  # 36 periods and the next
    marks = next(line for line in axis.lines if line.get_label() == "earnings")
    assert len(marks.get_xdata()) == int(ds["earnings"].sum())
    known = int(ds["log_returns"].notnull().sum())
    assert np.isfinite(axis.collections[0].get_offsets()[:, 1].astype(float)).sum() == known


def test_volatility_path_of_an_unknown_asset(posterior, tiny_model, tiny_panel):
    with pytest.raises(UnknownLabelError, match=r"unknown asset A44\. Did you mean A4\?"):
        plots.volatility_path(posterior.draws, tiny_model, tiny_panel, "A44")


@pytest.mark.parametrize("variable", ["theta", "beta_rv", "beta_rr", "beta_earnings", "alpha", "nu"])
def test_coefficients(posterior, tiny_model, tiny_panel, variable):
    figure = plots.coefficients(posterior.draws, tiny_model, tiny_panel, variable)
    assert isinstance(figure, Figure)
    (axis,) = figure.axes
    labels = [t.get_text() for t in axis.get_yticklabels()]
    assert sorted(x for x in labels if x) == sorted(tiny_panel.assets)
    shown = {labels[round(y)]: x for line in axis.lines for x, y in line.get_xydata()}
    median = posterior.draws[variable].median(("chain", "draw")).squeeze(drop=True)
    for asset in tiny_panel.assets:
        assert shown[asset] == pytest.approx(float(median.sel(asset=asset)))
    assert (axis.get_xscale() == "log") == (variable == "nu")


def test_shaded_is_the_class_distribution(posterior, tiny_model, tiny_panel):
    axis = plots.coefficients(posterior.draws, tiny_model, tiny_panel, "theta").axes[0]
    mu, sigma = (posterior.draws[n].mean(("chain", "draw")).to_numpy() for n in ("mu_theta", "sigma_theta"))
    bands = [c for c in axis.collections if c.get_alpha() == 0.12]
    assert len(bands) == 2
    for c, band in enumerate(bands):
        x = band.get_paths()[0].vertices[:, 0]
        assert (x.min(), x.max()) == pytest.approx((mu[c] - 2 * sigma[c], mu[c] + 2 * sigma[c]))


def test_coefficients_refuse_unknown_names(posterior, tiny_model, tiny_panel):
    with pytest.raises(UnknownLabelError, match=r"unknown coefficient tetha\. Did you mean theta"):
        plots.coefficients(posterior.draws, tiny_model, tiny_panel, "tetha")
    with pytest.raises(UnknownLabelError, match=r"unknown window 20\..*Known: 5"):
        plots.coefficients(posterior.draws, tiny_model, tiny_panel, "beta_rv", window=20)


def test_assets_without_announcements_are_left_out(tiny_model, tiny_panel, posterior):
    data = tiny_panel.to_dataset()
    data["earnings"][:, 5:] = 0
    panel = type(tiny_panel).from_dataset(data)
    axis = plots.coefficients(posterior.draws, tiny_model, panel, "beta_earnings").axes[0]
    assert sorted(t.get_text() for t in axis.get_yticklabels() if t.get_text()) == [f"A{i}" for i in range(5)]


def test_degrees_of_freedom_is_a_view_of_nu(posterior, tiny_model, tiny_panel):
    figure = plots.degrees_of_freedom(posterior.draws, tiny_model, tiny_panel)
    assert "Degrees of freedom" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("variable", "low", "high"), [("theta", -6, -1), ("beta_rv", -2, 3), ("alpha", -0.1, 0.1)]
)
def test_estimates_alone_maximise_the_likelihood(tiny_panel, tiny_truth, variable, low, high):
    """Against SciPy's minimiser, one asset at a time, where all else is known."""
    model = FactorModel(n_factors=2)
    rng = np.random.default_rng(1)
    p = dict(tiny_truth, factors=rng.normal(0, 0.02, (36, 2)))
    dims = {
        "loadings": ("asset", "factor"),
        "factors": ("period", "factor"),
        "factor_scale": ("factor",),
        "beta_rv": ("asset", "window"),
        "rho": (),
    }
    draws = xr.Dataset(
        {n: (("chain", "draw", *dims.get(n, ("asset",))), np.asarray(v)[None, None]) for n, v in p.items()}
    )
    grid = np.linspace(low, high, 301)
    window = {"window": 0} if variable == "beta_rv" else {}
    found = plots.estimates_alone(draws, model, tiny_panel, variable, grid=grid, **window)
    data = model_data(model, tiny_panel)
    observed = data["observed"]

    def loss(value, i):
        trial = {n: np.array(v) for n, v in p.items()}
        trial[variable][i] = value
        noise = np.nan_to_num(data["log_returns"]) - model.expected_return(trial, trial["factors"], data)
        density = model.noise.log_density(noise, model.log_noise_scale(trial, data), trial)
        return -density[:, i][observed[:, i]].sum()

    assert len(found) == 8
    for i, value in enumerate(found):
        best = minimize_scalar(loss, bounds=(low, high), args=(i,), method="bounded", options={"xatol": 1e-8})
        assert value == pytest.approx(best.x, abs=0.002 * (high - low))


def test_hierarchies_pull_estimates_together(posterior, tiny_model, tiny_panel):
    alone = plots.estimates_alone(
        posterior.draws, tiny_model, tiny_panel, "beta_rv", grid=np.linspace(-4, 4, 201), window=0
    )
    pooled = posterior.draws["beta_rv"].median(("chain", "draw")).to_numpy()[:, 0]
    for own in (slice(0, 5), slice(5, 8)):
        assert pooled[own].std() < alone[own].std()


def test_tall_pictures_have_columns(rng):
    from bdfm.data.panel import Panel

    panel = Panel.from_arrays(rng.normal(0, 0.05, (30, 60)), asset_class=["a"] * 40 + ["b"] * 20)
    columns = plots._columns(plots._by_class(panel, np.arange(60.0)), panel)
    assert [len(c) for c in columns] == [31, 32]  # 30 assets each, with one and two headings
    assert columns[0][:2] == ["a", 0]
    assert columns[1][0] == "a"
    assert [x for x in columns[1] if isinstance(x, str)] == ["a", "b"]


def test_the_level_is_told_at_the_volatility_where_it_is(posterior, tiny_model, tiny_panel):
    """With volatilities in levels the feature is 0 at 1 % a day, and not in an average period."""
    settings = tiny_model.panel.model_copy(update={"volatility_form": "level"})
    for model, told in (
        (tiny_model, "of an average period"),
        (tiny_model.model_copy(update={"panel": settings}), "after a volatility of 1 % a day"),
    ):
        figure = plots.coefficients(posterior.draws, model, tiny_panel, "theta")
        assert figure.get_suptitle() == f"Log noise scale {told}, θ"
