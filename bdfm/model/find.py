"""A model by its name or its file, as users give it."""

from __future__ import annotations

from pathlib import Path

from bdfm.data.settings import PanelSettings
from bdfm.errors import DataError
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.log_volatility import OutsideVolatility


def find_model(name: str, *, folder: Path = Path()) -> FactorModel:
    """Model of a preset's name, or of a TOML file, relative to ``folder``.

    Raises
    ------
    FileError, UnknownLabelError, DataError, ModelError
        No such file or preset, or settings that cannot be used.
    """
    return FactorModel.from_toml(folder / name) if name.endswith(".toml") else FactorModel.from_preset(name)


def with_outside_volatility(model: FactorModel) -> FactorModel:
    """The model, with the part that reads a given volatility (eq. 7) if it has none."""
    if any(isinstance(part, OutsideVolatility) for part in model.log_volatility):
        return model
    return model.model_copy(update={"log_volatility": (*model.log_volatility, OutsideVolatility())})


def with_period(model: FactorModel, period: object, *, where: str) -> FactorModel:
    """Model whose panel has periods of another length, where one is given."""
    if period is None:
        return model
    try:
        settings = PanelSettings(**model.panel.model_dump() | {"period": period})
    except DataError as error:
        raise DataError(f"{where}: {str(error).removeprefix('panel: period ')}") from None
    return model.model_copy(update={"panel": settings})
