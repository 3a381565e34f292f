"""Statements: what edits and views share. Frozen records, checked when made, read from tables, written again.

A statement is what a person says about the forecast period. Its fields are the keys of a table in a file of
changes and the arguments in Python; ``kind`` says which class it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, get_args

from pydantic import ConfigDict

from bdfm import _checks
from bdfm._settings import Settings
from bdfm.data.doubts.tables import Said
from bdfm.errors import DataError, UnknownLabelError
from bdfm.forecast.records import Scalar


class Statement(Settings):
    """Base of edits and views."""

    model_config = ConfigDict(allow_inf_nan=False)

    what: ClassVar[str]  # "edit" or "view", for messages
    keeps_defaults: ClassVar[bool]  # whether records hold what was left to defaults, for a later release

    kind: str

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._check()

    @classmethod
    def place(cls, settings: Mapping[str, Any]) -> str:
        """What a table of settings is about, for messages, also where no statement can be made of it."""
        raise NotImplementedError

    def _check(self) -> None:
        """Raise for fields that do not fit together."""

    @property
    def said(self) -> tuple[Said, ...]:
        """Its numbers whose unit may be another one than was meant."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Table from which ``read`` makes the statement again."""
        keep = self.keeps_defaults
        settings = self.model_dump(exclude_unset=keep, exclude_defaults=not keep, exclude_none=True)
        return {"kind": self.kind} | settings

    def parameters(self, *, leave_out: tuple[str, ...] = ()) -> dict[str, Scalar]:
        """Fields as the parameters of a record: a table's entries become ``field.key``, None is left out."""
        settings = self.model_dump(
            exclude_defaults=not self.keeps_defaults, exclude_none=True, exclude={"kind", *leave_out}
        )
        flat: dict[str, Scalar] = {}
        for name, value in settings.items():
            flat |= {f"{name}.{k}": x for k, x in value.items()} if isinstance(value, dict) else {name: value}
        return flat

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Scalar], **more: Any) -> Self:
        """Statement of the parameters of a record, and of fields that the record holds elsewhere."""
        settings: dict[str, Any] = {}
        for name, value in parameters.items():
            table, dot, key = name.partition(".")
            if dot:
                settings.setdefault(table, {})[key] = value
            elif value is not None:
                settings[name] = value
        return cls(**settings | more)


def by_kind(union: Any) -> dict[str, Any]:
    """Classes of a discriminated union by their ``kind``."""
    members, _ = get_args(union)
    return {str(member.model_fields["kind"].default): member for member in get_args(members)}


def read[S: Statement](table: Mapping[str, Any], kinds: Mapping[str, type[S]], *, where: str) -> S:
    """Statement of a table, such as one of TOML; its ``kind`` is one of ``kinds``.

    Raises
    ------
    UnknownLabelError
        No such kind or key; the message guesses which was meant.
    DataError
        A key that is missing, or a value that cannot be used.
    """
    kind = table.get("kind")
    if kind is None:
        raise DataError(f"{where}: the key kind is missing. Give one of {', '.join(kinds)}.")
    what = next(iter(kinds.values())).what
    _checks.known([str(kind)], list(kinds), what=f"kind of {what}", where=where)
    try:
        return kinds[str(kind)](**table)
    except (DataError, UnknownLabelError) as error:
        raise type(error)(f"{where}, {error}") from None
