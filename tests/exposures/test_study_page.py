"""Tables of the study in docs/exposures.md are those of its figures, and the text says what they say."""

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def study(benchmark_script):
    return benchmark_script("exposures")


@pytest.fixture(scope="module")
def numbers():
    return json.loads((DOCS / "exposures_study.json").read_text(encoding="utf-8"))


def rows(numbers, name):
    return {row["method"]: row for row in numbers[name]}


def test_tables_are_those_of_the_figures(study, numbers, benchmark_script):
    tables = benchmark_script("page_tables")
    page = DOCS / "exposures.md"
    assert tables.read_table(page, "errors").strip() == study.error_lines(numbers)
    assert tables.read_table(page, "living latents").strip() == study.life_lines(numbers)


def test_nothing_after_the_day_up_to_which_settings_are_chosen(numbers):
    assert numbers["data"]["test"][:2] == ["2021-06-28", "2022-02-04"]
    assert numbers["data"]["seeds"] == 3


def test_the_verdict_is_that_of_the_figures(numbers):
    errors, life = rows(numbers, "Test errors"), rows(numbers, "Living latents")
    ours, published = life["factor_vae"], life["factor_vae, as published"]
    assert ours["active"] == ours["active units"] == ours["latents"] == 10
    assert (ours["used"], published["active"], published["used"]) == (9, 6, 8)
    by_reconstruction = min(errors, key=lambda m: errors[m]["reconstruction_standardised"])
    by_prediction = min(errors, key=lambda m: errors[m]["prediction_standardised"])
    assert (by_reconstruction, by_prediction) == ("pca", "bayes_random_walk")
    inside = rows(numbers, "Model confidence set of predictions, 10 %")
    assert [m for m, row in inside.items() if row["included"]] == ["bayes_random_walk"]
    against = rows(numbers, "Prediction against constant betas")
    assert all(against[m]["t"] > 5 for m in ("factor_vae", "factor_vae, as published", "vae (gamma 0)"))


WORDS = {6: "six", 8: "eight", 9: "nine", 10: "ten"}


def test_the_prose_says_the_figures(numbers):
    """Every number of the section's sentences, and who is ahead of whom, from the figures."""
    errors, life = rows(numbers, "Test errors"), rows(numbers, "Living latents")
    against = rows(numbers, "Prediction against constant betas")
    whole = rows(
        numbers, "Prediction by the whole decoder at the latents that the factors imply, standardised"
    )
    of = {m: (r["reconstruction_standardised"], r["prediction_standardised"]) for m, r in errors.items()}
    vae, as_published, constant, components = (
        of[m] for m in ("factor_vae", "factor_vae, as published", "constant", "pca")
    )
    apart, data = against["factor_vae"], numbers["data"]
    best = min(r["prediction"] for r in whole.values())
    page = (DOCS / "exposures.md").read_text(encoding="utf-8")
    text = " ".join(page.partition("### What it says")[2].partition("### The paper's span")[0].split())
    published = life["factor_vae, as published"]
    first, last, days = data["training"]
    told = [
        f"training {first} to {last}, {days} days; validation and test {data['test'][2]} days each, the test"
        f" from {data['test'][0]}",
        f"knowing nothing has {numbers['knowing nothing']['standardised']:.3f}",
        f"All {WORDS[life['factor_vae']['active']]} by KL and by variance,"
        f" {WORDS[life['factor_vae']['used']]} are used; as published {WORDS[published['active']]} and"
        f" {WORDS[published['used']]}",
        f"Life costs nothing in reconstruction: {vae[0]:.3f} beside {as_published[0]:.3f}",
        f"*Principal components of equal dimension are better still*: {components[0]:.3f}, alone in the 90 %",
        f"predict worse than constant betas, by {apart['difference']:.2f} ± {apart['standard_error']:.2f},"
        " and worse than as published",
        f"the best that a network does, {best:.3f} at best, and is behind constant betas"
        f" ({constant[1]:.3f}) too",
        "The Bayesian random walk predicts best",
        f"In these {data['test'][2]} calm days the Kalman filter and DCC-GARCH are no better than constant",
    ]
    for part in told:
        assert part in text
    assert data["test"][2] == data["validation"][2]
    assert components[0] < vae[0] < as_published[0]
    assert vae[1] > as_published[1]
    assert best > constant[1]
    assert best < min(of[m][1] for m in whole)
    sets = rows(numbers, "Model confidence set of reconstructions, 10 %")
    assert [m for m, row in sets.items() if row["included"]] == ["pca"]
    assert sorted(of, key=lambda m: of[m][1])[:2] == ["bayes_random_walk", "rolling_ols"]
    assert all(abs(against[m]["t"]) < 1 for m in ("kalman", "dcc_garch"))


def test_a_page_without_its_table_is_refused(benchmark_script, tmp_path):
    tables = benchmark_script("page_tables")
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one -->\nold\n<!-- end of one -->\nb\n", encoding="utf-8")
    tables.write_table(page, "one", "new")
    assert page.read_text(encoding="utf-8") == "a\n<!-- one -->\nnew\n<!-- end of one -->\nb\n"
    with pytest.raises(ValueError, match="no table between"):
        tables.write_table(page, "two", "new")
    assert tables.read_table(page, "one") == "new\n"
