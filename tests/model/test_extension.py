"""What a new part costs: one class, in this package or outside it, and everything else follows.

The two effects here are what a user or a developer would write: nothing in the package names them.
"""

from typing import ClassVar, Literal

import numpy as np
import pytest
from scipy import stats

from bdfm.data.panel import Panel
from bdfm.errors import ModelError, UnknownLabelError
from bdfm.inference.engine import gibbs_spec, not_covered
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.factor_model import FactorModel
from bdfm.model.part import Part, Variable, hierarchy_variables
from bdfm.model.parts.dynamics import AR1
from bdfm.model.parts.linear import Hierarchy
from bdfm.model.parts.log_volatility import LinearLogVolatility, LogVolIntercept
from bdfm.model.parts.mean import Intercept, LinearMean, Mean
from bdfm.model.parts.noise import Noise
from bdfm.model.simulate import simulate
from bdfm.names import ASSET, PERIOD
from bdfm.posterior.fit import fit

QUICK = SamplerSettings(draws=400, tune=400, chains=2, thin=3)
N_PERIODS, N_ASSETS = 80, 10


def trailing_return(panel: Panel, *, future: bool) -> np.ndarray:
    """Return over the 12 periods before each period (period, asset), in units of 10 %, cut at ± 3, or 0."""
    past = np.nan_to_num(panel.history["log_returns"].to_numpy())
    total = np.concatenate([np.zeros((1, past.shape[1])), past.cumsum(axis=0)])
    sums = np.clip([(total[t] - total[max(0, t - 12)]) / 0.1 for t in range(len(total))], -3, 3)
    return np.repeat(sums[-1:], panel.n_future, axis=0) if future else sums[:-1]


# -- one class an effect -----------------------------------------------------------------------------------

_SLOPE = Variable("beta_year", "β^y_i", (ASSET,), "decimal per 10 %", "Expected return after a good year")
_LEVERAGE = Variable("leverage", "β^l_i", (ASSET,), "log ratio per 10 %", "Noise after a good year")


class YearReturn(LinearMean):
    """Momentum of single assets: β^y_i times the return of the last 12 periods."""

    kind: Literal["year_return"] = "year_return"
    scale: float = 0.02
    claims: ClassVar[frozenset[str]] = frozenset({"year return"})
    coefficient: ClassVar[Variable] = _SLOPE
    variables: ClassVar[tuple[Variable, ...]] = hierarchy_variables(_SLOPE, location=True)
    regressor: ClassVar[str | None] = "year_return"
    feature_dims: ClassVar[dict[str, tuple[str, ...]]] = {"year_return": (PERIOD, ASSET)}

    @property
    def hierarchy(self) -> Hierarchy:
        return Hierarchy(self.scale, location_sd=self.scale)

    def features(self, panel: Panel, *, future: bool) -> dict[str, np.ndarray]:
        return {"year_return": trailing_return(panel, future=future)}


class Leverage(LinearLogVolatility):
    """Noise that falls after good years."""

    kind: Literal["leverage"] = "leverage"
    scale: float = 0.2
    claims: ClassVar[frozenset[str]] = frozenset({"leverage"})
    coefficient: ClassVar[Variable] = _LEVERAGE
    variables: ClassVar[tuple[Variable, ...]] = hierarchy_variables(_LEVERAGE, location=True)
    regressor: ClassVar[str | None] = "year_return_volatility"
    feature_dims: ClassVar[dict[str, tuple[str, ...]]] = {"year_return_volatility": (PERIOD, ASSET)}

    @property
    def hierarchy(self) -> Hierarchy:
        return Hierarchy(self.scale, location_sd=self.scale)

    def features(self, panel: Panel, *, future: bool) -> dict[str, np.ndarray]:
        return {"year_return_volatility": trailing_return(panel, future=future)}


# -- and everything else follows ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return FactorModel(
        name="extended",
        n_factors=1,
        dynamics=(AR1(),),
        mean=(Intercept(), YearReturn()),
        log_volatility=(LogVolIntercept(), Leverage()),
    )


@pytest.fixture(scope="module")
def panel(model):
    """Returns simulated period by period, since their own past is the regressor: slopes 0.01 and -0.3."""
    rng = np.random.default_rng(2)
    loadings = np.linspace(0.5, 1.5, N_ASSETS)
    returns = np.zeros((N_PERIODS, N_ASSETS))
    for t in range(N_PERIODS):
        year = np.clip(returns[max(0, t - 12) : t].sum(axis=0) / 0.1, -3, 3)
        noise = 0.03 * np.exp(-0.3 * year) * rng.standard_t(8, N_ASSETS)
        returns[t] = loadings * 0.02 * rng.standard_normal() + 0.01 * year - 0.002 + noise
    returns[:5, 3] = np.nan
    return Panel.from_arrays(returns, asset_class=["a"] * 5 + ["b"] * 5)


def test_it_reads_and_writes_itself(model):
    text = model.to_toml()
    assert 'kind = "year_return"' in text
    assert FactorModel.from_toml(text) == model
    with pytest.raises(UnknownLabelError, match=r"\[mean\]: unknown kind 'leverage'.*'year_return'"):
        FactorModel.from_toml('[[mean]]\nkind = "leverage"')
    with pytest.raises(ModelError, match=r"table \[mean\]: scale should be a number, got 'x'"):
        FactorModel.from_toml('[[mean]]\nkind = "year_return"\nscale = "x"')


def test_its_density_is_in_the_pymc_model(model, panel):
    built = model.build(panel)
    assert {"beta_year_z", "mu_beta_year", "sigma_leverage"} <= {v.name for v in built.free_RVs}
    assert built.named_vars_to_dims["year_return"] == (PERIOD, ASSET)
    x = model_data(model, panel)["year_return"]
    by_hand = panel.history["log_returns"].to_numpy()[8:20].sum(axis=0) / 0.1
    np.testing.assert_allclose(x[20], np.clip(by_hand, -3, 3))
    assert np.isfinite(built.compile_logp()(built.initial_point()))


def test_both_engines_take_it_and_its_slopes_are_recovered(model, panel):
    assert not_covered(model) == []
    spec = gibbs_spec(model, panel)
    assert [e.name for e in (*spec.mean, *spec.log_volatility)] == ["alpha", "beta_year", "theta", "leverage"]
    posterior = fit(model, panel, seed=1, settings=QUICK)
    for name, truth in (("mu_beta_year", 0.01), ("mu_leverage", -0.3)):
        draws = posterior.draws[name].to_numpy().ravel()
        assert abs(draws.mean() - truth) < 3.5 * draws.std(), name
        assert draws.std() < abs(truth) / 2, name
    assert {"beta_year", "mu_beta_year", "leverage", "sigma_leverage"} <= set(
        posterior.diagnose().table.index
    )
    assert posterior.plot_coefficients("leverage").get_suptitle() == "Noise after a good year"
    turned = posterior.aligned()
    np.testing.assert_array_equal(turned.draws["beta_year"], posterior.draws["beta_year"])
    # The forecast reads the last twelve periods.
    p, ahead = posterior.parameters(), model_data(model, panel, future=True)
    year = np.nan_to_num(panel.history["log_returns"].to_numpy())[-12:].sum(axis=0) / 0.1
    np.testing.assert_allclose(ahead["year_return"][0], np.clip(year, -3, 3))
    expected = model.expected_return(p, model.expected_factors(p)[:, None], ahead)[:, 0].mean(axis=0)
    medians = np.log1p(np.median(posterior.forecast(seed=1, n_draws=40_000).draws, axis=0))
    assert stats.spearmanr(expected, medians).statistic > 0.9


def test_simulation_and_density_agree(model, panel):
    """Parameters drawn from the prior, returns simulated, and their mean what the equations say."""
    data = model_data(model, panel)
    shape = {"loadings": (N_ASSETS, 1), "factor_scale": (1,), "rho": (), "nu": (N_ASSETS,)}
    p = {name: np.full((2000, *s), 0.01) for name, s in shape.items()}
    p |= {"nu": np.full((2000, N_ASSETS), 9.0), "alpha": np.full((2000, N_ASSETS), 0.01)}
    p |= {"theta": np.full((2000, N_ASSETS), -4.0), "beta_year": np.full((2000, N_ASSETS), 0.05)}
    p["leverage"] = np.full((2000, N_ASSETS), -0.1)
    drawn = simulate(model, p, data, rng=np.random.default_rng(3)).log_returns
    t = 40
    np.testing.assert_allclose(
        drawn[:, t].mean(axis=0), 0.01 + 0.05 * data["year_return"][t], atol=4 * drawn[:, t].std() / 40
    )


def _with_features(made):
    class Odd(YearReturn):
        kind: Literal["odd"] = "odd"

        def features(self, panel: Panel, *, future: bool) -> dict[str, np.ndarray]:
            return made

    return FactorModel(n_factors=1, mean=(Odd(),))


GAPS = np.zeros((N_PERIODS, N_ASSETS))
GAPS[2, 3] = np.nan


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"year_return": np.zeros((3, N_ASSETS))}, r"shape \(3, 10\), expected \(period 80, asset 10\)"),
        ({"year_return": np.zeros((N_PERIODS, 3))}, r"shape \(80, 3\), expected \(period 80, asset 10\)"),
        ({"year_return": np.zeros(N_PERIODS)}, r"shape \(80,\), expected \(period 80, asset 10\)"),
        ({"year_retrun": GAPS}, r"made year_retrun, and feature_dims declares year_return"),
        ({}, r"made nothing, and feature_dims declares year_return"),
        ({"year_return": np.full((N_PERIODS, N_ASSETS), "a")}, r"year_return is of type <U1\. Give real"),
        ({"year_return": GAPS}, r"1 value that is not finite, first at \(2, 3\) of \(period, asset\)"),
    ],
)
def test_features_that_do_not_fit_are_refused(panel, made, message):
    with pytest.raises(ModelError, match=rf"part Odd: .*{message}"):
        _with_features(made).build(panel)


def test_features_may_be_lists(panel):
    of_lists = _with_features({"year_return": np.ones((N_PERIODS, N_ASSETS)).tolist()})
    data = model_data(of_lists, panel)
    np.testing.assert_array_equal(data["year_return"], np.ones((N_PERIODS, N_ASSETS)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"regressor": "year_retrun"}, r"regressor 'year_retrun' is neither in .* \(year_return\)"),
        ({"feature_dims": {}}, r"regressor 'year_return' is neither in .* \(both empty\)"),
        ({"variables": ()}, r"its variables are none, and its hierarchy has beta_year, .*, mu_beta_year"),
        ({"variables": hierarchy_variables(_SLOPE, location=False)}, r"hierarchy_variables\(.*location=True"),
        ({"hierarchy": property(lambda self: Hierarchy(1.0))}, r"hierarchy_variables\(.*location=False"),
        ({"coefficient": _LEVERAGE}, r"its variables are beta_year, .* has leverage"),
    ],
)
def test_declarations_that_do_not_fit_each_other_are_refused(changed, message):
    """They had ended in a KeyError, an AttributeError, or a word about draws that lack a variable."""
    kind = {"kind": "misfit", "__annotations__": {"kind": Literal["misfit"]}}
    Misfit = type("Misfit", (YearReturn,), {"__module__": __name__, **kind, **changed})
    with pytest.raises(ModelError, match=f"part Misfit: .*{message}"):
        FactorModel(n_factors=1, mean=(Misfit(),))


LACKING = {
    "hierarchy": (LinearMean, lambda part: part.hierarchy),
    "effect": (Mean, lambda part: part.effect({}, {})),
    "log_density": (Noise, lambda part: part.log_density(0.0, 0.0, {})),
}


@pytest.mark.parametrize("member", LACKING)
def test_what_a_part_lacks_is_told(member):
    base, use = LACKING[member]

    class Bare(base):
        kind: Literal["bare"] = "bare"

    with pytest.raises(ModelError, match=rf"part Bare: it has no {member}, .*write_part\.md"):
        use(Bare())


def test_a_kind_has_one_owner():
    with pytest.raises(ModelError, match="kind 'intercept' of slot mean belongs to Intercept already"):

        class Other(LinearMean):
            kind: Literal["intercept"] = "intercept"

    assert Part.kinds["mean", "intercept"] is Intercept


def test_two_parts_may_not_share_a_variable():
    class Twin(YearReturn):
        kind: Literal["twin"] = "twin"
        claims: ClassVar[frozenset[str]] = frozenset({"something else"})

    with pytest.raises(ModelError, match="YearReturn and Twin both have a variable beta_year"):
        FactorModel(mean=(YearReturn(), Twin()))
