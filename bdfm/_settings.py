"""Records of settings: frozen, without unknown keys, of strict types, with the package's errors."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    Self,
    TypeAliasType,
    cast,
    get_args,
    get_origin,
    override,
)

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from bdfm import _numerals, _renamed
from bdfm._reading import counted, short
from bdfm._settings_errors import settings_error
from bdfm.errors import BdfmError, DataError

MAX_SEED: Final = 2**63 - 1  # the largest whole number that a file can hold
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


def _by_place(record: type[BaseModel], given: tuple[Any, ...]) -> TypeError:
    """Error of a record that was given values without their names."""
    fields = {name: f for name, f in record.model_fields.items() if name != "kind"}
    needed = [name for name, f in fields.items() if f.is_required()] or list(fields)[:3]
    return TypeError(
        f"{record.__name__}: {counted(len(given), 'value')} without a name, first {short(repr(given[0]))}."
        f" Say which it is: {record.__name__}({', '.join(f'{name}=...' for name in needed)})."
    )


class Settings(BaseModel):
    """Base class of records of settings.

    A value that cannot be used raises ``error_kind``, an unknown key ``UnknownLabelError``; the message calls
    the record ``told_as``, or by its class. Records inside records are checked with them, and the message
    names the table. ``model_validate`` and its like keep to the errors of pydantic.

    Types are strict: no text is taken for a number, no number for a truth, 1.0 for no whole number. Whole
    numbers are numbers, lists are tuples, texts are paths and dates.

    ``renamed`` gives the new names of fields by the old ones, under which they are taken, read and loaded
    from a pickle as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    told_as: ClassVar[str | None] = None
    error_kind: ClassVar[type[BdfmError]] = DataError
    renamed: ClassVar[Mapping[str, str]] = {}

    def __new__(cls, *by_place: Any, **_: Any) -> Self:
        if by_place:  # here, since a signature is made of __init__
            raise _by_place(cls, by_place)
        return super().__new__(cls)

    def __init__(self, **settings: Any) -> None:
        settings = self.with_new_names(settings)
        try:
            super().__init__(**settings)
        except ValidationError as error:
            where = self.place(settings)
            raise settings_error(error, type(self), where=where, kind=self.error_kind) from None

    # Pydantic would call an __init__ of our own for records inside records, and lose the place of an error.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    @override
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for old, new in cls.renamed.items():
            setattr(cls, old, _renamed.attribute(old, new))

    @override
    def __setstate__(self, state: dict[Any, Any]) -> None:
        new = self.renamed
        values = {new.get(name, name): value for name, value in state["__dict__"].items()}
        names = {new.get(name, name) for name in state["__pydantic_fields_set__"]}
        super().__setstate__(state | {"__dict__": values, "__pydantic_fields_set__": names})

    @classmethod
    def with_new_names(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings in which fields that were renamed have their new names; ``DataError`` for both names."""
        if not cls.renamed.keys() & settings.keys():
            return dict(settings)
        where = cls.place({cls.renamed.get(name, name): value for name, value in settings.items()})
        return _renamed.keys(settings, cls.renamed, where=where)

    @model_validator(mode="before")
    @classmethod
    def _strict(cls, given: Any) -> Any:
        """Values of the very kinds that the fields have; pydantic would take "1" and true for 1."""
        if not isinstance(given, dict):
            return given
        found, wrong = {}, []
        for key, value in cls.with_new_names(given).items():
            field = cls.model_fields.get(key)
            try:
                found[key] = value if field is None else _of_kind(value, cast("Hashable", field.annotation))
            except _WrongKindError as problem:
                wrong.append(InitErrorDetails(type=problem.type, loc=(key,), input=value))
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return found

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
            raise settings_error(error, cls, where=where, kind=cls.error_kind) from None

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Record with other values of some fields, checked as when it is made.

        Raises as the class does: unknown keys, values that cannot be used or do not fit together.
        """
        if not update:
            return super().model_copy(deep=deep)
        copied = super().model_copy(deep=deep)
        given = {k: getattr(copied, k) for k in self.model_fields_set}
        return type(self)(**given | self.with_new_names(update))

    @classmethod
    def of_text(cls, key: str, text: str) -> Any:
        """Value that a text means where a field takes no texts; the text itself where it means none."""
        field = cls.model_fields.get(key)
        kinds = frozenset() if field is None else _kinds(cast("Hashable", field.annotation))
        if str in kinds:
            return text
        if bool in kinds and text.lower() in ("true", "false"):
            return text.lower() == "true"
        whole = _numerals.whole(text) if int in kinds else None
        number = _numerals.number(text) if float in kinds else None
        return next((x for x in (whole, number) if x is not None), text)


class _WrongKindError(Exception):
    """A value of another kind; ``type`` is pydantic's name of the problem, or a problem of our own."""

    def __init__(self, type: str | PydanticCustomError) -> None:  # pydantic's word
        super().__init__()
        self.type = type


_NUMBERS: Final = {int: "int_type", float: "float_type", bool: "bool_type"}


def _of_kind(value: Any, annotation: Any) -> Any:
    """Value, of NumPy as of Python; raises where it would have to be converted to another kind."""
    if isinstance(value, np.generic):
        value = value.item()
    kinds = _kinds(annotation)
    simple = {k for k in kinds if k in _NUMBERS}
    given = type(value)
    if given in (list, tuple):
        items = [_kinds_inside(k) for k in kinds if get_origin(k) in (tuple, list)]
        return given(_of_kind(x, items[0]) for x in value) if len(items) == 1 and items[0] else value
    if isinstance(value, dict):
        items = [get_args(k)[1] for k in kinds if get_origin(k) is dict]
        return {k: _of_kind(x, items[0]) for k, x in value.items()} if len(items) == 1 else value
    if Path in kinds and isinstance(value, str) and "\0" in value:
        raise _WrongKindError(PydanticCustomError("path", "Input should be a path without NUL"))
    if Path in kinds and isinstance(value, str) and not value.strip():
        raise _WrongKindError(PydanticCustomError("path", "Input should be a path, . for this folder"))
    if dt.date in kinds and isinstance(value, dt.datetime):
        return value.date()  # the day as it is written, as of texts
    if dt.date in kinds and given in (*_NUMBERS, dt.time) and given not in kinds:
        raise _WrongKindError(PydanticCustomError("date", "Input should be a date such as 2022-01-07"))
    if given is float and int in kinds and float not in kinds:
        raise _WrongKindError(_NUMBERS[int])
    if given in (str, *_NUMBERS) and simple and kinds <= {*_NUMBERS, type(None)}:
        taken = {int, float} if float in simple else simple
        if given not in taken | ({bool} & simple):
            raise _WrongKindError(_NUMBERS[next(k for k in (float, int, bool) if k in simple)])
    elif given is bool and simple and bool not in kinds:
        raise _WrongKindError(_NUMBERS[next(iter(simple))])
    return value


@cache
def _kinds(annotation: Hashable) -> frozenset[Any]:
    """Types that an annotation allows, those of literals included."""
    return frozenset(_unfolded(annotation))


def _unfolded(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if isinstance(annotation, TypeAliasType):
        yield from _unfolded(annotation.__value__)
    elif origin is Annotated:
        yield from _unfolded(get_args(annotation)[0])
    elif origin is Literal:
        yield from {type(x) for x in get_args(annotation)}
    elif origin in (tuple, list, dict) or not get_args(annotation):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _unfolded(part)


def _kinds_inside(annotation: Any) -> Any:
    """Annotation of the elements of a list; None where they differ."""
    inside = [a for a in get_args(annotation) if a is not Ellipsis]
    return inside[0] if len(set(inside)) == 1 else None
