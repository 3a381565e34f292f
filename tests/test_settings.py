"""Records of settings: errors in the words of the package, wherever a record is made."""

from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field

from bdfm import PanelSettings, SamplerSettings
from bdfm._settings import Settings
from bdfm.backtest.simple import EWMA
from bdfm.errors import BdfmError, DataError, ModelError, UnknownLabelError
from bdfm.forecast.return_edits import Replace
from bdfm.model.factor_model import FactorModel
from bdfm.model.part import Part
from bdfm.model.parts.dynamics import AR1
from bdfm.model.parts.noise import LaplaceNoise
from bdfm.portfolio.methods import DecisionSettings
from bdfm.report.run_file import DataTable, RunFile


class Small(Settings):
    kind: Literal["small"] = "small"
    size: Annotated[int, Field(ge=1)] = 1


class Large(Settings):
    kind: Literal["large"] = "large"
    weight: float


class Box(Settings):
    told_as = "box"
    error_kind = ModelError
    inside: Small = Small()
    many: tuple[Annotated[Small | Large, Field(discriminator="kind")], ...] = ()
    names: Annotated[tuple[str, ...], Field(max_length=1)] = ()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Small(size=0), DataError, "Small: size should be greater than or equal to 1, got 0."),
        (lambda: Large(), DataError, "Large: the key weight is missing."),
        (
            lambda: Small(sise=1),
            UnknownLabelError,
            "Small: unknown key sise. Did you mean size? Known: kind, size.",
        ),
        (
            lambda: Box(inside={"size": 0}),
            ModelError,
            "box, [inside]: size should be greater than or equal to 1, got 0.",
        ),
        (
            lambda: Box(many=[{"kind": "small"}, {"kind": "large", "weigth": 1}]),
            ModelError,
            "box, [many.1]: the key weight is missing.",
        ),
        (
            lambda: Box(many=[{"kind": "tiny"}]),
            UnknownLabelError,
            "box, [many.0]: unknown kind 'tiny'. Known: 'small', 'large'.",
        ),
        (lambda: Box(many=[{}]), ModelError, "box, [many.0]: the key `kind` is missing."),
        (
            lambda: Box(names=("a", "b")),
            ModelError,
            "box: names: Tuple should have at most 1 item after validation, not 2, got ('a', 'b').",
        ),
        (
            lambda: SamplerSettings(sampler="nope"),
            DataError,
            "sampler: sampler should be 'nutpie', 'pymc', 'numpyro' or 'blackjax', got 'nope'.",
        ),
        (
            lambda: SamplerSettings(chains=0),
            DataError,
            "sampler: chains should be greater than or equal to 1, got 0.",
        ),
        (
            lambda: PanelSettings(period=0),
            DataError,
            'panel: period must be "month", "day" or a whole number of days from 1 to 366, got 0.',
        ),
        (lambda: EWMA(dof=1), DataError, "EWMA: dof should be greater than 2, got 1."),
        (lambda: AR1(rho_sd=-1), ModelError, "AR1: rho_sd should be greater than 0, got -1."),
        (
            lambda: FactorModel(panel={"period": 0}),
            ModelError,
            'table [panel]: period must be "month", "day" or a whole number of days from 1 to 366, got 0.',
        ),
    ],
)
def test_errors_are_those_of_the_package(make, error, message):
    with pytest.raises(error) as told:
        make()
    assert str(told.value) == message


def test_records_are_frozen_and_equal_by_value():
    assert Box(inside={"size": 2}) == Box(inside=Small(size=2))
    assert len({SamplerSettings(), SamplerSettings(), SamplerSettings(chains=1)}) == 2
    with pytest.raises(ValueError, match="frozen"):
        Small().size = 3


def test_all_records_with_settings_have_the_base():
    for record in (SamplerSettings, PanelSettings, DecisionSettings, EWMA, FactorModel, Part):
        assert issubclass(record, Settings)
        assert issubclass(record, BaseModel)


def test_a_copy_with_other_values_is_checked_as_a_new_record_is():
    """Pydantic's own would take any key and any value, and a misspelt one would change nothing."""
    house = FactorModel.from_preset("house")
    with pytest.raises(UnknownLabelError, match=r"unknown key n_factor\. Did you mean n_factors"):
        house.model_copy(update={"n_factor": 3})
    with pytest.raises(ModelError, match="n_factors"):
        house.model_copy(update={"n_factors": "three"})
    assert house.model_copy(update={"noise": {"kind": "laplace"}}).noise == LaplaceNoise()
    changed = house.model_copy(update={"n_factors": 3})
    assert (changed.n_factors, house.n_factors) == (3, 7)
    assert changed == FactorModel.from_toml(house.to_toml().replace("n_factors = 7", "n_factors = 3"))
    assert changed.model_fields_set == house.model_fields_set
    assert house.model_copy() == house
    one = PanelSettings(period=28)
    assert one.model_copy(update={"n_periods": 80}).model_fields_set == {"period", "n_periods"}


def test_a_copy_keeps_what_python_gave():
    given = np.linspace(-0.1, 0.1, 50)
    edit = Replace.by("X", given)
    assert edit.model_copy(update={"seed": 3}).seed == 3
    for other in (edit.model_copy(), edit.model_copy(update={"keep_ranks": True, "asset": "Y"})):
        np.testing.assert_array_equal(other.source.values, given)
    assert edit.model_copy(update={"distribution": "norm(0, 0.1)"}).source.std() == pytest.approx(0.1)
    with pytest.raises(UnknownLabelError, match="sed"):
        edit.model_copy(update={"sed": 3})


def test_a_whole_number_that_may_be_a_text_is_no_float():
    """1.0 is no whole number, also where a text may stand in its place."""
    for make in (
        lambda x: DataTable(origin="2021-01-01", demo=True, period=x),
        lambda x: RunFile(data={"origin": "2021-01-01", "demo": True}, memory=x),
        lambda x: SamplerSettings(draws=x),
        lambda x: PanelSettings(period=x),
    ):
        with pytest.raises(BdfmError, match="a whole number"):
            make(28.0)


def test_a_message_about_several_keys_repeats_the_value_alone():
    with pytest.raises(DataError, match=r"max_sweeps must be at least 550, tuning and 10 draws, got 500\.$"):
        SamplerSettings(max_sweeps=500, thin=5, tune=500)
