"""What all parts of a model share: the record, its variables, its slot, and the arrays of its equations."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.special import gammaln

from bdfm._reading import counted, short
from bdfm._settings import Settings
from bdfm._settings_errors import settings_error
from bdfm.errors import ModelError, UnknownLabelError

if TYPE_CHECKING:
    from bdfm.data.panel import Panel

# An ndarray in simulations, a PyTensor variable in a model: the equations do not care which.
Array = Any
Params = Mapping[str, Array]
Data = Mapping[str, Array]
Block = Mapping[str, Any]  # what the Gibbs engine needs of a part: fields of ``bdfm.gibbs.spec.GibbsSpec``


# -- variables ---------------------------------------------------------------------------------------------


class Turn(Enum):
    """How a variable follows when the factors are rotated: λ' = λ M, M = S^-1 R S' (``inference.align``).

    S and S' are the factor scales before and after, R is orthogonal.
    """

    LOADINGS = "multiplies factors: times the inverse of M, transposed"
    FACTORS = "factor values in their unit: times M"
    STANDARD = "in units of the factor scales: times R"
    BOTH = "acts on factors in units of their scales: R' from the left, R from the right"
    SCALE = "the factor scales themselves: S' for S"
    ORDER = "one value a factor: follows its place, for models whose factors only change places and signs"
    SIGN = "one value a factor: follows its place and its sign"


class Variable(NamedTuple):
    """One variable of the model, declared once, by the part that owns it.

    Attributes
    ----------
    name, symbol
        Name in code, and symbol in ``docs/model.md``.
    dims
        Core dims, after chain and draw.
    unit, title
        Unit, and what a picture of it is called.
    identified
        Whether the data say something about it however the factors are rotated: ``diagnose`` judges it.
    turn
        How it follows a rotation of the factors; None: it stays.
    stored
        False for a standardised variable of the PyMC form that follows from stored ones
        (``Part.standardised``): a posterior gives it on demand and does not keep it.
    """

    name: str
    symbol: str
    dims: tuple[str, ...]
    unit: str
    title: str
    identified: bool = True
    turn: Turn | None = None
    stored: bool = True


# -- arrays ------------------------------------------------------------------------------------------------

_NUMPY = SimpleNamespace(
    exp=np.exp,
    log=np.log,
    log1p=np.log1p,
    sqrt=np.sqrt,
    gammaln=gammaln,
    abs=np.abs,
    concatenate=np.concatenate,
)


def functions_for(*arrays: Array) -> Any:
    """Elementary functions of the library that the arrays belong to: NumPy, or ``pytensor.tensor``."""
    if all(isinstance(a, np.ndarray | np.generic | float | int) for a in arrays):
        return _NUMPY
    import pytensor.tensor as pt

    return pt


def checked_features(
    part: Part, made: Mapping[str, NDArray[Any]], sizes: Mapping[str, int]
) -> Mapping[str, NDArray[Any]]:
    """Regressors that a part made, as it declared them; ``ModelError`` for others, shapes and gaps."""
    who, declared = f"part {type(part).__name__}", part.feature_dims
    if made.keys() != declared.keys():
        raise ModelError(
            f"{who}: features() made {', '.join(sorted(made)) or 'nothing'}, and feature_dims declares"
            f" {', '.join(sorted(declared)) or 'nothing'}. Give both the same names."
        )
    made = {name: np.asarray(x) for name, x in made.items()}
    for name, x in made.items():
        if x.dtype.kind not in "fiub":
            raise ModelError(f"{who}: {name} is of type {x.dtype}. Give real numbers.")
        expected = tuple(sizes.get(dim, n) for dim, n in zip(declared[name], np.shape(x), strict=False))
        if np.shape(x) != expected or len(declared[name]) != np.ndim(x):
            dims = ", ".join(f"{dim} {sizes[dim]}" if dim in sizes else dim for dim in declared[name])
            raise ModelError(f"{who}: {name} has shape {np.shape(x)}, expected ({dims}).")
        gaps = np.argwhere(~np.isfinite(x))
        if len(gaps):
            raise ModelError(
                f"{who}: {name} has {counted(len(gaps), 'value that is', 'values that are')} not finite,"
                f" first at {tuple(gaps[0].tolist())} of ({', '.join(declared[name])}). Fill them, such as"
                " with 0: no effect."
            )
    return made


def unwritten(part: object, member: str) -> ModelError:
    """Error of a part of a user's own that lacks what its slot asks for."""
    return ModelError(
        f"part {type(part).__name__}: it has no {member}, which its slot asks for. Write it, as"
        " docs/howto/write_part.md does."
    )


# -- parts -------------------------------------------------------------------------------------------------


class Part(Settings):
    """A part of the model: its fields are settings, which its table in a TOML file may set.

    A subclass with a ``kind`` of its own is known to the slot that its base class stands for from the moment
    it is defined, in this package or outside: ``kind = "..."`` in a model file finds it.

    Class attributes
    ----------------
    slot
        Field of ``FactorModel`` that takes the part; its base class sets it.
    variables
        Variables that ``params`` creates, the standardised ones too.
    ahead
        Variables of the first period after the origin, which only a model with evidence has.
    needs
        Panel variables that the part reads.
    claims
        Effects that it identifies: two parts of one model may not share a claim.
    refuses
        Slot and kind of parts that cannot stand beside it; the kind ``*`` is any.
    takes_evidence
        Whether a fit with evidence, which has the period after the origin too, knows it (eq. 12).
    feature_dims
        Dims of what ``features`` makes, by name; the first is ``period``.
    """

    error_kind = ModelError
    kind: str
    slot: ClassVar[str] = ""
    kinds: ClassVar[dict[tuple[str, str], type[Part]]] = {}
    variables: ClassVar[tuple[Variable, ...]] = ()
    ahead: ClassVar[tuple[Variable, ...]] = ()
    needs: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[frozenset[str]] = frozenset()
    refuses: ClassVar[frozenset[tuple[str, str]]] = frozenset()
    takes_evidence: ClassVar[bool] = True
    feature_dims: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        field = cls.model_fields["kind"]
        if field.is_required():
            return
        key = (cls.slot, str(field.default))
        other = Part.kinds.get(key)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ModelError(
                f"part {cls.__name__}: kind {key[1]!r} of slot {cls.slot} belongs to {other.__name__}"
                " already. Give it a kind of its own."
            )
        Part.kinds[key] = cls

    @classmethod
    def of(cls, value: object) -> Self:
        """Part of a table of settings with the key ``kind``, or the part given; raises otherwise.

        Raises ``UnknownLabelError`` for an unknown kind; ``ModelError`` for a part for another
        slot.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Part):
            raise ModelError(
                f"[{cls.slot}]: {type(value).__name__} is a part for the slot {value.slot}, not for"
                f" {cls.slot}. Put it there: model.model_copy(update={{{value.slot!r}: ...}})."
            )
        if not isinstance(value, Mapping):
            raise ModelError(
                f"[{cls.slot}]: a table with the key `kind` was expected, got {short(repr(value))}."
            )
        known = {kind: part for (slot, kind), part in Part.kinds.items() if slot == cls.slot}
        if "kind" not in value:
            raise ModelError(
                f"[{cls.slot}]: the key `kind` is missing. Known: {', '.join(map(repr, known))}."
            )
        part = known.get(value["kind"]) if isinstance(value["kind"], str) else None
        if part is None:
            names = ", ".join(map(repr, known))
            raise UnknownLabelError(
                f"[{cls.slot}]: unknown kind {value['kind']!r}. Known: {names}. A part of your own is known"
                " once the module that defines it is imported."
            )
        try:
            return part.model_validate(dict(value))  # type: ignore[return-value]
        except ValidationError as error:
            where = f"table [{cls.slot}]"
            raise settings_error(error, part, where=where, kind=ModelError) from None

    @property
    def has_block(self) -> bool:
        """Whether the Gibbs engine covers the part."""
        return type(self).block is not Part.block

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Variables of this part as it is set; most parts have those of their class."""
        return self.variables

    @classmethod
    def dims(cls, name: str) -> tuple[str, ...]:
        """Dims of one of the part's variables."""
        return next(v.dims for v in cls.variables if v.name == name)

    def check_declared(self) -> None:
        """Raise ``ModelError`` for declarations of the class that do not fit each other."""

    def params(self, data: Data) -> Params:
        """Random variables of the part, created in the model on the PyMC context stack."""
        raise unwritten(self, "params")

    def standardised(self, p: Params, data: Data) -> Params:
        """Variables with ``stored`` False (draw, ...), from parameters with one leading axis of draws.

        The inverse of what ``params`` makes of them; ``p`` holds those of the other parts too.
        """
        return {}

    def features(self, panel: Panel, *, future: bool) -> dict[str, NDArray[Any]]:
        """Regressors that the part makes itself of a panel, for its history or the periods after the origin.

        By the names and with the dims of ``feature_dims``; finite, and known at the start of each period.
        """
        return {}

    def coords(self, data: Data) -> dict[str, Any]:
        """Coordinate values by dim, of dims that only this part has."""
        return {}

    def block(self, data: Data) -> Block:
        """Fields of the specification of the Gibbs engine; a part without this method needs NUTS."""
        raise NotImplementedError(f"{type(self).__name__} is not covered by the Gibbs engine")


# -- hierarchies -------------------------------------------------------------------------------------------


def hierarchy_variables(
    of: Variable, *, location: bool, groups: tuple[str, ...] = ()
) -> tuple[Variable, ...]:
    """Declarations of a coefficient, of what it is drawn from, and of its standardised form.

    ``groups``: dims of location and scale; none for one distribution over all assets.
    """
    found = [of]
    if location:
        title = f"Location of: {of.title[:1].lower()}{of.title[1:]}"
        found.append(Variable(f"mu_{of.name}", f"μ of {of.symbol}", groups, of.unit, title))
    title = f"Spread of: {of.title[:1].lower()}{of.title[1:]}"
    found.append(Variable(f"sigma_{of.name}", f"σ of {of.symbol}", groups, of.unit, title))
    standard = Variable(
        f"{of.name}_z",
        f"{of.symbol}, standardised",
        of.dims,
        "1",
        f"{of.title}, standardised",
        identified=False,
        stored=False,
    )
    return (*found, standard)
