"""Records of settings: frozen, without unknown keys, with the package's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from bdfm import _checks
from bdfm.errors import BdfmError, DataError


class Settings(BaseModel):
    """Base class of records of settings.

    A value that cannot be used raises ``error_kind``, an unknown key ``UnknownLabelError``; the message calls
    the record ``told_as``, or by its class. Records inside records are checked with them, and the message
    names the table. ``model_validate`` and its like keep to the errors of pydantic.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    told_as: ClassVar[str | None] = None
    error_kind: ClassVar[type[BdfmError]] = DataError

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            where = self.place(settings)
            raise _checks.settings_error(error, type(self), where=where, kind=self.error_kind) from None

    # Pydantic would call an __init__ of our own for records inside records, and lose the place of an error.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def place(cls, settings: Mapping[str, Any]) -> str:
        """What a record is called in messages, also where none can be made of its settings."""
        return cls.__name__ if cls.told_as is None else cls.told_as

    @classmethod
    def from_table(cls, table: Mapping[str, Any], *, where: str) -> Self:
        """Record of a table of a file; errors begin with ``where``."""
        try:
            return cls.model_validate(dict(table))
        except ValidationError as error:
            raise _checks.settings_error(error, cls, where=where, kind=cls.error_kind) from None
