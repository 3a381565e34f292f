"""The run file: data, model, sampler, evidence, edits, views, decision and outputs of a month, as TOML."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import tomli_w
from pydantic import ConfigDict, Field, field_validator, model_validator

from bdfm import _checks, _memory, _toml
from bdfm._settings import Seed, Settings
from bdfm.data.periods import HorizonText
from bdfm.errors import DataError
from bdfm.forecast.changes import ViewsMethod
from bdfm.forecast.edits import with_new_names
from bdfm.forecast.weigh import Pool
from bdfm.inference.choices import N_PREDICTIVE_DRAWS
from bdfm.inference.settings import MAX_DRAWS, SamplerSettings
from bdfm.portfolio.mandate import Mandate
from bdfm.portfolio.methods import DecisionSettings

_FILES: Final = ("prices", "universe", "earnings", "volatility")
Output = Literal["submission", "posterior", "picture", "report"]
OUTPUTS: Final[tuple[Output, ...]] = ("submission", "posterior", "picture", "report")


class _Table(Settings):
    model_config = ConfigDict(allow_inf_nan=False)


class DataTable(_Table):
    """``[data]``: files, relative to the run file, or ``demo = true``; and the origin."""

    origin: dt.date | str
    prices: Path | None = None
    universe: Path | None = None
    earnings: Path | None = None
    volatility: Path | None = None  # annual, known at the end of each day: implied by options, say
    demo: bool = False
    period: int | str | None = None  # days of a period, or "month"; the model's, if not given
    # Periods ahead, "5d" for market days, or a date; or several of them. 1, if not given.
    horizon: HorizonText | tuple[HorizonText, ...] | None = None
    date_format: str | None = None  # of dates with two meanings: dmy, mdy, ymd, or such as %d/%m/%Y
    decimal_mark: str | None = None  # point or comma, where the numbers leave it open
    zero: tuple[str, ...] = ()  # delisted assets, each once

    @field_validator("zero")
    @classmethod
    def _zero(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))


class EvidenceTable(_Table):
    """``[[evidence]]``: what is said of an asset's return inside the model (eq. 12, D9)."""

    told_as: ClassVar[str | None] = "evidence"
    renamed: ClassVar[Mapping[str, str]] = {"symbol": "asset"}

    asset: str
    mean: float
    sd: float
    horizon: HorizonText | None = None  # that the return is over; the run's, if not given


class RunFile(_Table):
    """Contents of a run file: all that makes a month."""

    data: DataTable
    model: str = "house"  # a preset, or a TOML file relative to the run file
    accept: tuple[str, ...] = ()  # doubts that are right all the same: RULE or RULE:SYMBOL
    seed: Seed = 1
    n_draws: Annotated[int, Field(ge=2, le=MAX_DRAWS)] = N_PREDICTIVE_DRAWS
    views_method: ViewsMethod = "auto"
    sampler: SamplerSettings = SamplerSettings()
    aliases: dict[str, str] = Field(default_factory=dict)  # symbol of the files to the one it is called by
    evidence: tuple[EvidenceTable, ...] = ()
    edits: tuple[dict[str, Any], ...] = ()
    views: tuple[dict[str, Any], ...] = ()
    shares: dict[str, float] | None = None
    pool: Pool = "linear"  # of people's views: linear or log
    decision: DecisionSettings | None = DecisionSettings()  # false: none, and a submission of equal weights
    mandate: Mandate | None = None  # instead of a decision
    outputs: tuple[Output, ...] = OUTPUTS
    warm_from: Path | None = None  # earlier month, whose draws are moved on, or folder of months
    memory: str | int | None = None  # budget, such as "4GB"; half of the machine, if not given
    keep_draws: bool = False  # write predictive draws; else they are made anew from the posterior's file
    ledger: Path | None = None  # folder of months, where this one is entered and nothing is written over
    holdings: dict[str, float] = Field(default_factory=dict)  # weights held at the origin, before trading
    out: Path = Path("out")  # folder, relative to the run file; in a ledger, its folder named by the origin

    @field_validator("edits")
    @classmethod
    def _edits(cls, value: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        return tuple(with_new_names(table) for table in value)

    @field_validator("memory")
    @classmethod
    def _memory(cls, value: str | int | None) -> str | int | None:
        if value is not None:
            _memory.as_bytes(value, where="memory")
        return value

    @model_validator(mode="before")
    @classmethod
    def _in_ledger(cls, table: Any) -> Any:
        """A month of a ledger lies in it, by its origin, unless told otherwise."""
        if isinstance(table, dict) and isinstance(table.get("ledger"), str | Path) and "out" not in table:
            data = table.get("data")
            origin = data.get("origin") if isinstance(data, dict) else getattr(data, "origin", None)
            if origin is not None:
                table = table | {"out": Path(table["ledger"]) / str(origin).replace("/", "-")}
        return table

    @field_validator("decision", mode="before")
    @classmethod
    def _decision(cls, value: object) -> object:
        return None if value is False else value

    @model_validator(mode="after")
    def _one_decision(self) -> RunFile:
        if self.mandate is not None and "decision" in self.model_fields_set and self.decision is not None:
            raise DataError("run file: give [decision] or [mandate], not both.")
        return self

    @property
    def decided(self) -> DecisionSettings | Mandate | None:
        """How the portfolio is chosen; None where no decision is asked for."""
        return self.decision if self.mandate is None else self.mandate

    def to_toml(self) -> str:
        """TOML text of what is set."""
        table = _plain(self.model_dump(exclude_unset=True))
        return tomli_w.dumps(table if self.decision else table | {"decision": False})

    def moved(self, folder: Path) -> RunFile:
        """The same month as a file in ``folder``, which is where its results go, from one in this folder."""
        files = {k: x for k in _FILES if (x := getattr(self.data, k)) is not None}
        data = self.data.model_copy(update={k: _relative(x, folder) for k, x in files.items()})
        model = self.model
        if model.endswith(".toml"):
            model = _relative(Path(model), folder).as_posix()
        moved: dict[str, Any] = {"data": data, "model": model, "out": Path()}
        if self.ledger is not None:
            moved["ledger"] = _relative(self.ledger, folder)
        if self.warm_from is not None:
            moved["warm_from"] = _relative(self.warm_from, folder)
        return self.model_copy(update=moved)


def _plain(value: Any) -> Any:
    """Settings as TOML can hold them."""
    if isinstance(value, dict):
        return {k: _plain(x) for k, x in value.items() if x is not None}
    if isinstance(value, tuple | list):
        return [_plain(x) for x in value]
    return value.as_posix() if isinstance(value, Path) else value


def _relative(path: Path, folder: Path) -> Path:
    """Path as seen from a folder; absolute where there is no way, as between two drives."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve()))
    except ValueError:
        return path.resolve()


def read_run_file(path: Path) -> tuple[RunFile, str]:
    """Run file at a path, and its text; raises ``FileError``, ``DataError`` or ``UnknownLabelError``."""
    text = _checks.existing_text(path, what="run file")
    return RunFile.from_table(_toml.parsed(text, where=str(path)), where=str(path)), text
