"""A month in one file, and the commands for judgement, as a user runs them."""

from __future__ import annotations

import json
import re
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bdfm import views as v
from bdfm.data.panel import Panel
from bdfm.data.sources import demo
from bdfm.errors import DataError, DataWarning, InfeasibleViewError, UnknownLabelError
from bdfm.forecast.changes import Changes
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import weighted_quantiles
from bdfm.inference.settings import SamplerSettings
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.posterior.changed import forecast_with_changes
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior
from bdfm.report.month import make_month, read_month, run_month
from bdfm.report.page import write_report
from bdfm.report.run_file import DataTable, EvidenceTable, RunFile

pytestmark = pytest.mark.usefixtures("blank_pictures")  # what pictures show is tested where they are made

RUN = """
seed = 3
n_draws = 4000
out = "results"

[data]
prices = "prices.csv"
universe = "universe.csv"
origin = 2020-12-18
zero = ["PEP"]

[sampler]
draws = 50
tune = 50
chains = 2

[[edits]]
kind = "acquired_for_cash"
asset = "AMD"
offer = 100.0
probability = 0.8

[[views]]
kind = "ordering"
above = "AAPL"
below = "BAC"
probability = 0.7
semantics = "constraint"

[decision]
method = "minimum_variance"
exposure = 0.5
"""


@pytest.fixture
def folder(tmp_path):
    prices, universe = demo()
    members = ["AAPL", "AMD", "BAC", "BBY", "CVX", "PEP", "USMV", "VLUE"]
    prices.loc["2016":"2020", members].to_csv(tmp_path / "prices.csv")
    universe[universe["symbol"].isin(members)].to_csv(tmp_path / "universe.csv", index=False)
    (tmp_path / "month.toml").write_text(RUN)
    return tmp_path


def change(folder, old, new):
    text = (folder / "month.toml").read_text()
    assert old in text
    (folder / "month.toml").write_text(text.replace(old, new))


def test_check_fits_nothing(run, folder):
    code, out, _ = run("run", folder / "month.toml", "--check")
    assert code == 0
    assert "1 edit, 1 view, decision minimum_variance" in out
    assert "Nothing was fitted" in out
    assert not (folder / "results").exists()


@pytest.mark.long
def test_a_month_from_one_file_and_what_can_be_done_with_it(run, folder):
    code, out, _ = run("run", folder / "month.toml")
    assert code == 0
    files = folder / "results"
    assert sorted(p.name for p in files.iterdir()) == [
        ".bdfm.json", "forecast.nc", "month.toml", "posterior.nc", "quantiles.png", "report.html",
        "submission.csv", "summary.json",
    ]  # fmt: skip
    assert (files / "month.toml").read_text() == RUN
    f = Forecast.load(files / "forecast.nc")
    assert [r.kind for r in f.records] == ["zero", "acquired_for_cash", "view"]
    prices = pd.read_csv(folder / "prices.csv", index_col=0, parse_dates=True)
    close = prices.loc[:"2020-12-18", "AMD"].iloc[-1]
    amd = f.draws.sel(asset="AMD").to_numpy()
    assert (amd == np.float32(100 / close - 1)).mean() == pytest.approx(0.8, abs=0.01)
    assert set(f.effects()["change"]) == {1, 2, 3}
    submission = pd.read_csv(files / "submission.csv")
    assert submission["Decision"].abs().sum() == pytest.approx(0.5, abs=1e-4)
    assert float(submission.set_index("ID").loc["PEP", "Decision"]) == 0
    summary = json.loads((files / "summary.json").read_text())
    assert summary["zero"] == ["PEP"]
    assert summary["views_method"] == "reweight"
    page = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)`", next(x for x in page.splitlines() if x.startswith("| `summary.json`"))))
    assert {*summary, *summary["seconds"], *summary["diagnostics"]} <= told
    report = (files / "report.html").read_text(encoding="utf-8")
    for part in ("figure-factors", "figure-volatility", "AAPL above BAC", "Least variance"):
        assert part in report
    assert "AAPL above BAC with probability 0.7" in out

    # The same file gives the same forecast.
    change(folder, '"results"', '"again"')
    assert run("run", folder / "month.toml")[0] == 0
    again = Forecast.load(folder / "again" / "forecast.nc")
    assert again.draws.identical(f.draws)
    assert again.weights.identical(f.weights)

    # Each command takes and gives a forecast.nc.
    code, out, _ = run("view", files, "--evidence", "BBY - CVX = 1% +- 5%", "--out", folder / "v.nc")
    assert code == 0
    assert "BBY beats CVX by 1 % ± 5 % (evidence)." in out
    code, out, _ = run(
        "edit", folder / "v.nc", "shift VLUE by=0.01", "halted BBY probability=0.5", "--out", folder / "e.nc"
    )
    assert code == 0
    assert [r.kind for r in Forecast.load(folder / "e.nc").records][-3:] == ["view", "shift", "halted"]
    code, out, _ = run("decide", folder / "e.nc", "--method", "risk_parity", "--submission", folder / "s.csv")
    assert code == 0
    assert "probability of loss" in out
    assert pd.read_csv(folder / "s.csv")["Decision"].sum() == pytest.approx(0.25, abs=1e-4)
    (folder / "changes.toml").write_text(
        Changes.from_records(Forecast.load(folder / "e.nc").records[3:]).to_toml()
    )
    before = (files / "forecast.nc").read_bytes()
    code, out, err = run("view", files, "--file", folder / "changes.toml")
    assert code == 0, err
    assert (files / "forecast.nc").read_bytes() == before  # nothing is written over
    new = files / "forecast_1.nc"
    assert [r.kind for r in Forecast.load(new).records][-3:] == ["view", "shift", "halted"]
    code, out, err = run("view", new, "--evidence", "BBY - CVX = 1% +- 5%")
    assert code == 2
    assert "this forecast has it already, as change 4 of its history" in err
    code, out, err = run("edit", new, "shift VLUE by=0.01")
    assert code == 2
    assert "this forecast has it already, as change 5 of its history" in err
    code, out, err = run("edit", new, "acquired_for_cash CVX offer=120 price=1000")
    assert code == 2  # the closes came with the forecast
    assert "beside its last close" in err
    assert run("edit", new, "shift CVX by=0.02")[0] == 0
    assert [r.kind for r in Forecast.load(files / "forecast_2.nc").records][-1:] == ["shift"]
    assert run("report", new)[0] == 0
    assert "BBY beats CVX" in (files / "report_1.html").read_text(encoding="utf-8")
    code, out, _ = run("report", files, "--out", folder / "page.html")
    assert code == 0
    assert (folder / "page.html").stat().st_size > 1e6


BAD = {
    "unknown key": ("n_draws = 4000", "n_drawz = 4000", "unknown key n_drawz. Did you mean n_draws?"),
    "bad number": (
        "draws = 50\ntune",
        "draws = 5\ntune",
        'draws must be "auto" or a whole number of at least 10, got 5',
    ),
    "no origin": ("origin = 2020-12-18", "", "the key origin is missing"),
    "bad origin": ("origin = 2020-12-18", 'origin = "soon"', "'soon' is not a date"),
    "no prices": ('prices = "prices.csv"', "", "[data]: give prices and universe, or demo = true"),
    "demo and files": ("origin =", "demo = true\norigin =", "demo has its own prices and universe"),
    "unknown zero": ('["PEP"]', '["PEPP"]', "zero: unknown symbol PEPP"),
    "unknown view asset": ('below = "BAC"', 'below = "BACC"', "unknown asset BACC. Did you mean BAC?"),
    "view number": (
        "probability = 0.7",
        "probability = 7",
        "probability should be less than or equal to 1, got 7",
    ),
    "unknown edit": ('"acquired_for_cash"', '"bought"', "unknown kind of edit bought"),
    "edit number": ("offer = 100.0", "offer = -1.0", "offer should be greater than 0, got -1"),
    "decision": ('"minimum_variance"', '"best"', "method should be 'equal'"),
    "exposure": (
        "exposure = 0.5",
        "exposure = 5",
        "exposure should be less than or equal to 1, got 5. If 5 % is meant, write 0.05.",
    ),
    "output": (
        "n_draws = 4000",
        'n_draws = 4000\noutputs = ["fax"]',
        "'submission', 'posterior', 'picture' or 'report'",
    ),
    "model": ("n_draws = 4000", 'n_draws = 4000\nmodel = "m7"', "unknown preset m7"),
    "toml": ("[data]", "[data", "not valid TOML"),
    "period": ("[data]", "[data]\nperiod = 400", "month.toml, [data]: period: must be"),
    "evidence on nothing": (
        "[data]",
        '[[evidence]]\nasset = "BBX"\nmean = 0.0\nsd = 0.1\n[data]',
        "evidence: unknown asset BBX",
    ),
    "evidence without sd": (
        "[data]",
        '[[evidence]]\nasset = "BBY"\nmean = 0.0\n[data]',
        "[evidence.0]: the key sd is missing",
    ),
    "no decision at all": (
        '[decision]\nmethod = "minimum_variance"\nexposure = 0.5',
        "[[decision]]",
        "decision should be",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_check_finds_what_is_wrong(case, run, folder):
    old, new, message = BAD[case]
    change(folder, old, new)
    code, _, err = run("run", folder / "month.toml", "--check")
    assert code == 2
    assert message in err
    assert not (folder / "results").exists()


def test_a_jump_in_the_newest_prices_is_questioned(run, folder):
    prices = pd.read_csv(folder / "prices.csv", index_col=0, parse_dates=True)
    prices.loc["2020-12-10":, "CVX"] /= 10
    prices.to_csv(folder / "prices.csv")
    code, _, err = run("run", folder / "month.toml", "--check")
    assert code == 2
    assert "CVX on 2020-12-10" in err
    assert "--accept unit-step:CVX" in err
    text = (folder / "month.toml").read_text()
    (folder / "month.toml").write_text('accept = ["unit-step:CVX"]\n' + text)
    assert run("run", folder / "month.toml", "--check")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["view", "F"], "no view given"),
        (["view", "F", "--evidence", "A is good"], "view 'A is good': not understood. Forms:"),
        (["view", "F", "--constraint", "AA = 1%", "--file", "x.toml"], "not both"),
        (["view", "F", "--constraint", "ZZZ = 1%"], "unknown asset ZZZ"),
        (["edit", "F"], "one of both"),
        (["edit", "F", "zeroo A"], "unknown kind of edit zeroo"),
        (["decide", "F", "--method", "best"], "method should be 'equal'"),
        (["decide", "F", "--exposure", "3"], "exposure should be less than or equal to 1"),
        (["report", "nowhere"], "nowhere does not exist"),
        (["run", "nowhere.toml"], "nowhere.toml does not exist"),
    ],
)
def test_commands_refuse_in_one_message(arguments, message, run, tmp_path):
    rng = np.random.default_rng(1)
    Forecast.from_draws(
        0.1 * rng.standard_normal((500, 3)),
        assets=["A", "B", "C"],
        asset_class=["x"] * 3,
        origin="2022-02-04",
        end="2022-03-04",
    ).save(tmp_path / "forecast.nc")
    before = (tmp_path / "forecast.nc").read_bytes()
    code, _, err = run(*(tmp_path / "forecast.nc" if a == "F" else a for a in arguments))
    assert code == 2
    assert err.startswith("Error: ")
    assert message in err
    assert (tmp_path / "forecast.nc").read_bytes() == before


# Evidence by the weights and inside the model


@pytest.fixture(scope="module")
def posterior(tiny_model, tiny_panel):
    # The second fit takes these settings over; with fewer draws its own error hides everything.
    settings = SamplerSettings(draws=1500, tune=700, chains=4)
    return fit(tiny_model, tiny_panel, seed=1, settings=settings)


def view(mean, sd, asset="A4"):
    return Changes.from_dict(
        {"views": [{"kind": "absolute", "asset": asset, "mean": mean, "sd": sd, "semantics": "evidence"}]}
    )


def moments(forecast):
    """Median and middle spread, as the sd of a normal, of each asset.

    Noise of few degrees of freedom may have no variance: a sample sd hangs on single draws.
    """
    q = weighted_quantiles(forecast.draws.to_numpy(), [0.25, 0.5, 0.75], forecast.weights.to_numpy())
    return q[1], (q[2] - q[0]) / 1.35


PREDICTIVE = 40_000  # the tests below allow for the error of as many


@pytest.mark.long
def test_evidence_by_weights_equals_evidence_inside_the_model(posterior):
    """A mild view: quantiles of every asset and quintile probabilities agree within the error of both ways.

    Quantiles, because the noise of a panel this short may have too few degrees of freedom for a variance.
    """
    base = posterior.forecast(seed=2, n_draws=PREDICTIVE)
    mean, sd = (x[4] for x in moments(base))
    changes = view(float(mean + sd), float(sd))
    same, weighted = forecast_with_changes(
        posterior, changes, seed=2, n_draws=PREDICTIVE, views_method="reweight"
    )
    refit, inside = forecast_with_changes(
        posterior, changes, seed=2, n_draws=PREDICTIVE, views_method="model"
    )
    assert same is posterior
    diagnosis = refit.diagnose()
    assert diagnosis.min_ess_bulk > 400
    assert inside.records[0].kind == "evidence"
    n = diagnosis.min_ess_bulk  # of the worst quantity: the error below is on the safe side
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    q0, q1, q2 = (
        weighted_quantiles(f.draws.to_numpy(), levels, f.weights.to_numpy()) for f in (base, weighted, inside)
    )
    spread = (q2[3] - q2[1]) / 1.35  # sd of the middle
    assert abs(q1[2, 4] - q0[2, 4]) > 0.3 * spread[4]
    # Standard error of a quantile of a normal, in sd; 0.95 quantiles have twice that of the median.
    error = 1.25 * np.sqrt(1 / n + 1 / weighted.effective_draws) * np.array([2.0, 1.1, 1.0, 1.1, 2.0])
    np.testing.assert_array_less(np.abs(q1 - q2), 4 * error[:, None] * spread)
    p1, p2 = weighted.quantile_probabilities(), inside.quantile_probabilities()
    assert float(np.abs(p1 - p2).max()) < 4 * 0.5 / np.sqrt(n)


@pytest.mark.long
def test_a_view_four_sd_away_goes_into_the_model(posterior):
    base = posterior.forecast(seed=2, n_draws=PREDICTIVE)
    mean, sd = (x[4] for x in moments(base))
    changes = view(float(mean + 4 * sd), float(0.05 * sd))
    with pytest.raises(InfeasibleViewError, match=r"effective of .* put it into the model"):
        forecast_with_changes(posterior, changes, seed=2, n_draws=PREDICTIVE, views_method="reweight")
    refit, inside = forecast_with_changes(posterior, changes, seed=2, n_draws=PREDICTIVE)  # auto
    assert refit.evidence[0].asset == "A4"
    assert inside.effective_draws == pytest.approx(inside.n_draws)
    new_mean, new_sd = (x[4] for x in moments(inside))
    assert new_mean == pytest.approx(mean + 4 * sd, abs=0.2 * sd)
    assert new_sd < 0.1 * sd
    # The others follow through the factors: those with like loadings go up, by more than Monte Carlo error.
    (m2, s2), (m0, _) = moments(inside), moments(base)
    error = s2 / np.sqrt(refit.diagnose().min_ess_bulk)
    assert ((m2 - m0) / error)[[3, 5]].min() > 4


def test_auto_keeps_the_draws_where_they_reach(tiny_model, tiny_panel):
    quick = fit(tiny_model, tiny_panel, seed=1, settings=SamplerSettings(draws=100, tune=100, chains=2))
    same, f = forecast_with_changes(quick, view(0.02, 0.2), seed=1, n_draws=4000)
    assert same is quick
    assert f.records[0].kind == "view"
    assert isinstance(quick, Posterior)
    assert Panel is type(quick.panel)


class Fitted:
    """Stands for a posterior: its forecast is ready, and a second fit is only noted."""

    attrs = {"settings": SamplerSettings().model_dump_json()}
    model, panel = FactorModel(), None

    def __init__(self, evidence=()):
        self.evidence = tuple(evidence)

    def forecast(self, horizon=1, *, seed, n_draws):
        assert horizon == 1
        rng = np.random.default_rng(seed)
        returns = 0.05 * rng.standard_normal((n_draws, 3))
        return Forecast.from_draws(
            returns, assets=["A", "B", "C"], asset_class=["x"] * 3, origin="2022-02-04", end="2022-03-04"
        )


@pytest.fixture
def fitted(monkeypatch):
    monkeypatch.setattr(
        "bdfm.posterior.changed.sampled", lambda model, panel, *, evidence, **_: {"evidence": evidence}
    )
    monkeypatch.setattr("bdfm.posterior.changed.Posterior.from_draws", Fitted)
    return Fitted()


def loss(mean):
    """Effective draws before a view over those after."""
    plain = Fitted().forecast(seed=1, n_draws=40_000)
    [statement] = view(mean, 0.02, "A").views
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return plain.effective_draws / plain.with_views(statement, min_effective_draws=1).effective_draws


def changed(posterior, mean, **keywords):
    return forecast_with_changes(posterior, view(mean, 0.02, "A"), seed=1, n_draws=40_000, **keywords)


def test_a_number_decides_on_the_second_fit(fitted, monkeypatch):
    mean = 0.11
    assert 5 < loss(mean) < 20  # and thousands of draws are left: nothing is refused
    assert changed(fitted, mean)[0] is fitted
    monkeypatch.setattr("bdfm.forecast.weigh.MAX_LOSS", 0.99 * loss(mean))
    again, forecast = changed(fitted, mean)
    assert list(again.evidence) == [Evidence("A", mean, 0.02)]
    assert not forecast.records
    monkeypatch.setattr("bdfm.forecast.weigh.MAX_LOSS", 1.01 * loss(mean))
    assert changed(fitted, mean)[0] is fitted


@pytest.mark.parametrize("what", ["ignore", "default", "error"])
def test_no_filter_of_warnings_decides_on_it(fitted, monkeypatch, what):
    monkeypatch.setattr("bdfm.forecast.weigh.MAX_LOSS", 5.0)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter(what)
        assert changed(fitted, 0.12)[0] is not fitted
        assert changed(fitted, 0.0)[0] is fitted
    assert not seen


def test_without_a_second_fit_few_draws_are_a_warning(fitted, monkeypatch):
    monkeypatch.setattr("bdfm.forecast.weigh.MAX_LOSS", 5.0)
    with pytest.warns(DataWarning, match=r"views: [\d,]+ effective of 40,000 draws are left"):
        same, _ = changed(fitted, 0.12, views_method="reweight")
    assert same is fitted
    held = Changes.from_dict(
        {"views": [{"kind": "absolute", "asset": "A", "mean": 0.09, "semantics": "constraint"}]}
    )
    with pytest.warns(DataWarning, match="are left"):  # a constraint cannot go into the model
        same, _ = forecast_with_changes(fitted, held, seed=1, n_draws=40_000)
    assert same is fitted


# One pipeline


SHORT = {"draws": 20, "tune": 20, "chains": 2}


def made(folder, **settings):
    data = DataTable(
        origin="2020-12-18", prices=folder / "prices.csv", universe=folder / "universe.csv", zero=("PEP",)
    )
    sampler = SamplerSettings(**SHORT)
    return RunFile(data=data, sampler=sampler, out=folder / "made", **({"n_draws": 4000} | settings))


@pytest.mark.long
def test_a_month_made_in_python_is_repeated_from_its_file(folder):
    run = made(
        folder,
        model="m6",
        seed=5,
        evidence=(EvidenceTable(asset="BBY", mean=0.02, sd=0.1),),
        edits=({"kind": "shift", "asset": "CVX", "by": 0.01},),
        views=(v.Ordering(above="AAPL", below="BAC", probability=0.6, semantics="constraint").to_dict(),),
        outputs=("submission", "posterior", "picture"),
    )
    month = make_month(run)
    assert month.kept_as == "run.toml"
    assert not month.out.exists()
    results = run_month(month)
    files = {p.name: p.read_bytes() for p in month.out.iterdir()}
    assert results.summary["evidence"] == [["BBY", 0.02, 0.1]]
    assert results.summary["views_method"] == "reweight"
    assert [r.kind for r in results.forecast.records] == ["evidence", "zero", "shift", "view"]
    assert set(results.forecast.effects()["change"]) == {2, 3, 4}
    again = read_month(month.out / "run.toml")
    assert again.run.out == Path()
    assert again.kept_as == "run.toml"
    assert again.model == month.model
    run_month(again)
    new = {p.name: p.read_bytes() for p in month.out.iterdir()}
    assert set(new) == set(files) == {
        ".bdfm.json", "forecast.nc", "posterior.nc", "quantiles.png", "run.toml", "submission.csv",
        "summary.json",
    }  # fmt: skip
    for name in set(files) - {"posterior.nc", "summary.json"}:  # these hold seconds
        assert new[name] == files[name], name
    assert write_report(month.out).exists()
    assert "bdfm run" in (month.out / "report.html").read_text(encoding="utf-8")


@pytest.mark.long
def test_further_horizons_know_nothing_of_views_that_were_fitted(folder):
    """Views are about the first horizon: what goes into a second fit for it is in no other forecast."""
    strong = v.Absolute(asset="BBY", mean=0.3, sd=0.005, semantics="evidence").to_dict()
    data = made(folder).data.model_copy(update={"horizon": ("1", "2")})
    common = {"data": data, "model": "m6", "decision": None, "outputs": ("submission", "posterior")}
    one, other = (
        run_month(
            make_month(made(folder).model_copy(update={**common, "views": views, "out": folder / name}))
        )
        for name, views in (("plain", ()), ("viewed", (strong,)))
    )
    assert other.summary["views_method"] == "model"
    assert other.forecast.draws.sel(asset="BBY").mean() > one.forecast.draws.sel(asset="BBY").mean() + 0.1
    np.testing.assert_array_equal(other.further["2p"].draws, one.further["2p"].draws)
    # The posterior that is kept is the second one: the file of the further horizon holds its own draws.
    np.testing.assert_array_equal(
        Forecast.load(folder / "viewed" / "forecast_2p.nc").draws, one.further["2p"].draws
    )


def test_a_run_file_may_ask_for_no_decision_and_other_periods(folder):
    change(folder, '[decision]\nmethod = "minimum_variance"\nexposure = 0.5', "")
    change(folder, "n_draws = 4000", "n_draws = 4000\ndecision = false")
    change(folder, "[data]", "[data]\nperiod = 21")
    month = read_month(folder / "month.toml")
    assert month.run.decision is None
    assert month.panel.settings.period == month.model.panel.period == 21
    results = run_month(month)
    assert results.decision is None
    assert "decision" not in results.forecast.attrs
    table = pd.read_csv(folder / "results" / "submission.csv")
    assert table["Decision"].tolist() == [0.03125] * 8


def test_a_run_file_of_a_run_file_is_the_same(folder):
    run = read_month(folder / "month.toml").run
    assert RunFile(**tomllib.loads(run.to_toml())) == run
    bare = made(folder, decision=None)
    assert RunFile(**tomllib.loads(bare.to_toml())).decision is None
    moved = bare.moved(folder / "made")
    assert moved.data.prices == Path("../prices.csv")
    assert moved.out == Path()
    model = bare.model_copy(update={"model": str(folder / "mine.toml")}).moved(folder / "a" / "b")
    assert model.model == "../../mine.toml"
    assert bare.moved(folder).model == "house"


def test_jumps_of_a_month_made_in_python_are_refused_unless_accepted(folder):
    prices = pd.read_csv(folder / "prices.csv", index_col=0, parse_dates=True)
    prices.loc["2020-12-10":, "CVX"] /= 10
    prices.to_csv(folder / "prices.csv")
    with pytest.raises(DataError, match=r"CVX on 2020-12-10: .*\[unit-step\]"):
        make_month(made(folder))
    month = make_month(made(folder).model_copy(update={"accept": ("unit-step:CVX",)}))
    assert tomllib.loads(month.text)["accept"] == ["unit-step:CVX"]
    assert [(f.rule, f.labels, f.accepted) for f in month.doubts] == [("unit-step", ("CVX",), True)]


def test_mistakes_are_told_in_the_users_words(folder):
    run = made(folder)
    period = run.model_copy(update={"data": run.data.model_copy(update={"period": 400})})
    with pytest.raises(DataError, match=r"^--days: must be .* 1 to 366, got 400\.$"):
        make_month(period, {"period": "--days"})
    zero = run.model_copy(update={"data": run.data.model_copy(update={"zero": ("PEPP",)})})
    with pytest.raises(UnknownLabelError, match=r"^--zero: unknown symbol PEPP"):
        make_month(zero, {"zero": "--zero"})
    with pytest.raises(UnknownLabelError, match=r"^evidence: unknown asset ZZZ"):
        make_month(made(folder, evidence=(EvidenceTable(asset="ZZZ", mean=0.0, sd=0.1),)))


def test_read_month_is_lazy_about_nothing(folder):
    month = read_month(folder / "month.toml")
    assert month.closes["AMD"] > 0
    assert month.out == folder / "results"
    assert month.panel.zero == ("PEP",)


MANDATE = """
[mandate]
objective = "minimum_variance"
max_weight = 0.4
turnover = 0.5
cost_bps = 10.0
nav = 100000.0

[mandate.limits.sector]
oil = [0.1, 0.3]

[holdings]
AAPL = 0.6
BAC = 0.4
"""


@pytest.fixture
def mandated(folder):
    """The month's folder, its universe with a sector, its decision by a mandate."""
    universe = pd.read_csv(folder / "universe.csv")
    universe["sector"] = np.where(universe["symbol"].isin(["BBY", "CVX"]), "oil", "other")
    universe.to_csv(folder / "universe.csv", index=False)
    text = (folder / "month.toml").read_text()
    (folder / "month.toml").write_text(text.partition("[decision]")[0] + MANDATE)
    return folder


@pytest.mark.long
def test_a_month_under_a_mandate(run, mandated):
    from bdfm.portfolio.decisions import Decision

    code, out, err = run("run", mandated / "month.toml")
    assert code == 0, err
    assert "decision minimum_variance under a mandate" in out
    assert "sector oil at least 10 %" in out or "sector oil at most 30 %" in out
    found = Decision.of(Forecast.load(mandated / "results" / "forecast.nc"))
    assert 0.1 - 1e-6 <= found.weights[["BBY", "CVX"]].sum() <= 0.3 + 1e-6
    assert found.trades["shares"].notna().all()  # by the closes at the origin
    assert found.turnover <= 0.5 + 1e-6
    summary = json.loads((mandated / "results" / "summary.json").read_text())
    assert summary["turnover"] == pytest.approx(found.turnover)
    # By itself, on the same forecast.
    options = ("--universe", mandated / "universe.csv", "--out", mandated / "again.nc")
    code, out, err = run("decide", mandated / "results", "--mandate", mandated / "month.toml", *options)
    assert code == 0, err
    again = Decision.of(Forecast.load(mandated / "again.nc"))
    np.testing.assert_allclose(again.weights, found.weights, atol=1e-5)
    pd.DataFrame({"symbol": ["BAC", "CASH"], "weight": [0.5, 0.5]}).to_csv(mandated / "held.csv", index=False)
    code, out, err = run("decide", mandated / "results", "--mandate", mandated / "month.toml", *options,
                         "--holdings", mandated / "held.csv")  # fmt: skip
    assert code == 0, err
    assert Decision.of(Forecast.load(mandated / "again.nc")).trades.loc["BAC", "before"] == 0.5
    code, _, err = run("decide", mandated / "results", "--mandate", mandated / "month.toml", "--short")
    assert (code, "a mandate says all" in err) == (2, True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[mandate]", "[decision]\nexposure = 0.5\n[mandate]", "give [decision] or [mandate], not both"),
        ("max_weight = 0.4", "max_weight = 0.01", "keeps these limits together: each asset at most 1 %"),
        ("oil =", "oyl =", "unknown value oyl. Did you mean oil?"),
        ("limits.sector", "limits.sectr", "unknown column sectr"),
        ("AAPL = 0.6", "AAPLL = 0.6", "unknown asset AAPLL"),
        ("turnover = 0.5", "turnover = 0.05", "turnover at most 5 %"),
        ('"minimum_variance"', '"most"', "objective should be"),
    ],
)
def test_a_mandate_is_checked_before_the_fit(old, new, message, run, mandated):
    change(mandated, old, new)
    code, _, err = run("run", mandated / "month.toml", "--check")
    assert code == 2
    assert message in " ".join(err.split())
