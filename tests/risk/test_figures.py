"""Figures of docs/figures.md: ours beside calculations that share no code with the package, on real data."""

import warnings
from pathlib import Path

import pytest

pytest.importorskip("statsmodels")
pytest.importorskip("sklearn")
pytest.importorskip("arch")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def concepts(benchmark_script):
    return benchmark_script("concepts")


def printed():
    text = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    table = text.split("<!-- figures -->\n")[1].split("<!-- end of figures -->")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_page_has_every_row(concepts):
    assert len(printed()) >= 80
    assert [row[0] for row in printed()] == [one.concept for one in concepts.ROWS]


HEAVY = ("rolling betas", "betas of stocks that left", "random-walk betas", "factor hedge", "joint test")
HEAVY += ("bias by calm", "size, value, earnings yield", "reliability in six bins", "tails, autocorrelation")
HEAVY += ("dynamic correlation", "F test and R²", "odd exposures", "Jarque-Bera", "SMB and HML, sorted")
HEAVY += (
    "realised over said",
    "change of exposures between",
    "QLIKE above",
    "alphas out of sample",
    "GARCH(1,1)",
)
HEAVY += (
    "share of variance of components",
    "Mahalanobis",
    "paths of purged",
    "VAR(1) of factors",
    "SMB and HML, ind",
)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "heavy", [pytest.param(False, marks=pytest.mark.long), pytest.param(True, marks=pytest.mark.slow)]
)
def test_figures_are_what_the_page_says_and_what_other_code_says(concepts, shared_data, heavy):
    data = concepts.Data(shared_data("sp500").parent)
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the other side's libraries
        for one, row in zip(concepts.ROWS, printed(), strict=True):
            if one.concept.startswith(HEAVY) is not heavy:
                continue
            found = concepts.found(one, data)
            if not found.difference <= one.tolerance:
                wrong.append((one.concept, found.difference))
            assert found.ours == pytest.approx(float(row[3]), rel=2e-5), one.concept
            assert found.n == int(row[5].replace(",", "")), one.concept
    assert wrong == []


def test_a_wrong_figure_is_found_out(concepts):
    one = concepts.ROWS[0]
    wrong = one._replace(both=lambda d: ([1.0, 2.0], [1.0, 2.001]))
    assert concepts.found(wrong, None).difference == pytest.approx(0.0005, rel=1e-3)
    with pytest.raises(ValueError, match="against"):
        concepts.found(one._replace(both=lambda d: ([1.0], [1.0, 2.0])), None)
