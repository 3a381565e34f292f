"""Questions put to a risk model, and their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LEVEL: Final = 0.05  # probability that a right model gets any flag, at most


@dataclass(frozen=True)
class Check:
    """One question put to the model.

    Attributes
    ----------
    name, section
        What is asked, and of what: "diagnosis" (the fit) or "forecast" (unseen returns).
    statistic
        The figure in words.
    p_value
        Chance of such a figure if nothing is wrong; NaN where a threshold decides.
    flagged
        Whether the answer is bad.
    meaning
        What a bad answer means for users of the model.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> from bdfm import validation
    >>> estimator = risk.StatisticalEstimator(3)
    >>> checks = validation.validate(model, returns, estimator=estimator, window=52, step=26).checks
    >>> type(checks[0]).__name__, checks[0].section
    ('Check', 'diagnosis')
    """

    name: str
    section: str
    statistic: str
    p_value: float
    flagged: bool
    meaning: str


@dataclass
class Collector:
    """Checks as they come; p-values become flags once their number is known."""

    rows: list[tuple[str, str, str, float, bool | None, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def test(self, name: str, section: str, statistic: str, p: float, meaning: str) -> None:
        """Add a check that a p-value decides."""
        self.rows.append((name, section, statistic, p, None, meaning))

    def threshold(self, name: str, section: str, statistic: str, bad: bool, meaning: str) -> None:
        """Add a check that is bad or not."""
        self.rows.append((name, section, statistic, float("nan"), bad, meaning))

    def checks(self, level: float) -> tuple[Check, ...]:
        """All checks; ``level`` is shared out over the tests (Bonferroni)."""
        n_tests = sum(flagged is None for *_, flagged, _ in self.rows)
        return tuple(
            Check(n, s, t, p, p < level / n_tests if bad is None else bad, m)
            for n, s, t, p, bad, m in self.rows
        )
