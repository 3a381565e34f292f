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


def test_a_page_without_its_table_is_refused(benchmark_script, tmp_path):
    tables = benchmark_script("page_tables")
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one -->\nold\n<!-- end of one -->\nb\n", encoding="utf-8")
    tables.write_table(page, "one", "new")
    assert page.read_text(encoding="utf-8") == "a\n<!-- one -->\nnew\n<!-- end of one -->\nb\n"
    with pytest.raises(ValueError, match="no table between"):
        tables.write_table(page, "two", "new")
    assert tables.read_table(page, "one") == "new\n"
