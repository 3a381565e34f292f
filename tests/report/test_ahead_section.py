"""The page's section on the next days: the decision's risk, day by day, and who announces."""

import re

import pytest
from daily_draws import SYMBOLS, daily_posterior

from bdfm.model.evidence import Evidence
from bdfm.portfolio.decisions import decide
from bdfm.report.ahead import ahead_of, ahead_section
from bdfm.risk.ahead import MEASURES, risk_ahead

ASKED = {"days": 8, "level": 0.95, "seed": 0, "n_draws": 20_000}


@pytest.fixture(scope="module")
def posterior():
    return daily_posterior()


@pytest.fixture(scope="module")
def forecast(posterior):
    return posterior.forecast(5, seed=1, n_draws=4000)


def rows(html):
    """Cells by day of the section's table."""
    found = re.findall(r"<tr><th scope=row>(\d+)</th>(.*?)</tr>", html)
    return {int(day): re.findall(r"<td>(.*?)</td>", cells) for day, cells in found}


def told(found, day):
    own = [found.measure(m).loc[day, ["value", "posterior_error"]].astype(float) for m in MEASURES]
    return [f"{100 * x['value']:.2f} ± {100 * x['posterior_error']:.2f}" for x in own]


def test_it_is_of_the_decision_or_of_equal_weights(posterior, forecast):
    html = ahead_section(forecast, posterior)
    equal = risk_ahead(posterior, dict.fromkeys(SYMBOLS, 0.25), **ASKED)
    assert list(rows(html)) == [1, 2, 3, 5]
    assert rows(html) == {day: told(equal, day) for day in (1, 2, 3, 5)}
    decision = decide(forecast, method="minimum_variance", exposure=1.0)
    html = ahead_section(decision.save_in(forecast), posterior)
    own = risk_ahead(posterior, decision.weights, **ASKED)
    assert rows(html) == {day: told(own, day) for day in (1, 2, 3, 5)}
    assert told(own, 1) != told(equal, 1)
    assert f"<p>{decision.title.capitalize()}, of the fit without edits and views" in html


def test_announcements_are_dearer_than_without(posterior, forecast):
    html = ahead_section(forecast, posterior)
    found = risk_ahead(posterior, dict.fromkeys(SYMBOLS, 0.25), **ASKED).announcements
    amd, pep = (row for _, row in found.iterrows())
    assert (
        f"AMD on 2020-11-25 ({100 * amd['volatility']:.1f} % instead of {100 * amd['without']:.1f} %), PEP on"
        f" 2020-11-27 ({100 * pep['volatility']:.1f} % instead of {100 * pep['without']:.1f} %)"
    ) in html


def test_evidence_is_named_and_what_cannot_be_worked_out_is_said(posterior, forecast):
    mild = posterior.with_evidence(Evidence("AAPL", -0.02, 0.02, 3))
    assert "given that AAPL returns" in ahead_section(forecast, mild)
    far = posterior.with_evidence(Evidence("AAPL", 0.9, 0.001, 1))
    assert "<p>Not worked out: evidence (AAPL returns 90" in ahead_section(forecast, far)
    assert ahead_section(forecast, None) == ""


def test_unasked_it_is_twenty_days_at_most():
    long = daily_posterior(n_draws=100, horizon=22)
    asked = {"level": 0.95, "seed": 1, "n_draws": 400}
    assert ahead_of(long, None, days=None, **asked).table.index.get_level_values("day").max() == 20
    assert ahead_of(long, None, days=22, **asked).table.index.get_level_values("day").max() == 22


def test_what_no_longer_trades_has_no_risk_and_is_not_among_equal_weights():
    ended = daily_posterior(inactive=("AMD",))
    asked = {"days": 3, "level": 0.95, "seed": 1, "n_draws": 4000}
    third = dict.fromkeys(["AAPL", "BAC", "PEP"], 1 / 3)
    of_equal, by_hand = ahead_of(ended, None, **asked).table, risk_ahead(ended, third, **asked).table
    assert of_equal["value"].tolist() == by_hand["value"].tolist()
    held = risk_ahead(ended, third | {"AMD": 0.5}, **asked)
    assert held.table["value"].tolist() == by_hand["value"].tolist()
