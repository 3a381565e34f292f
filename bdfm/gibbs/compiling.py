"""Decorators that compile the kernels of the sampler, each once, and the call of compiled updates.

A function here is one of three kinds.

*Kernels* (``kernel``) are small. They are always inlined, so that no caller leaves a call of one behind.
*Updates* (``update``) are what a sweep is made of. Each is compiled once, into a library of its own that is
cached on disk, and called through its address (``call_update``).
*Strict kernels* (``strict_kernel``) are the rest: they are called, and any copy of one gives the same bits.

The reason is how Numba links. It copies what a function calls into the function's own library, and optimises
the copy again: fifty functions called by one are compiled twice, and a sum that is taken in any order may end
in other digits in the copy. The process that compiles has both versions, and the dynamic linker takes the
older one, the callee's own; a process that loads the cached library has the copy alone. So the first run of a
fresh environment used to differ from all later ones. Functions that are inlined or strict have one result.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, Final

import numba
import numpy as np
from numba.core import cgutils, types
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, models, register_model

from bdfm._kernels import kept

# nnan and ninf are left out on purpose: a proposal with an infinite density must still be rejected.
_ANY_ORDER: Final = {"reassoc", "contract", "arcp", "nsz"}
# Reference counts are switched off: kernels allocate nothing, and their caller holds all arrays.
_COMMON: Final = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}
_PACKAGE: Final = Path(__file__).parent
_STAMP: Final = "gibbs.sha256"
_MAX_EXP: Final = 709.0  # log of the largest double, nearly


def kernel[F: Callable[..., Any]](function: F) -> F:
    """Compiled function that is inlined wherever it is called; sums may be taken in any order."""
    compiled: F = numba.njit(fastmath=_ANY_ORDER, forceinline=True, no_cpython_wrapper=True, **_COMMON)(
        function
    )
    return compiled


def exact_kernel[F: Callable[..., Any]](function: F) -> F:
    """Compiled and inlined function whose floating-point operations keep their order."""
    compiled: F = numba.njit(fastmath={"contract"}, forceinline=True, no_cpython_wrapper=True, **_COMMON)(
        function
    )
    return compiled


def strict_kernel[F: Callable[..., Any]](function: F) -> F:
    """Compiled function that is called and not inlined: each operation is rounded as written.

    The options have to be set, harmless as they are: a function without them takes over those of the kernel
    that calls it first, and so do the functions of Numba that it calls.
    """
    compiled: F = numba.njit(fastmath={"nsz"}, forceinline=False, no_cpython_wrapper=True, **_COMMON)(
        function
    )
    return compiled


def update[F: Callable[..., Any]](function: F) -> F:
    """Update of a sweep, a function of (rng, data, state, scratch): compiled alone, cached on disk."""
    return kept(function, fastmath=_ANY_ORDER, no_cpython_wrapper=True, **_COMMON)


def entry[F: Callable[..., Any]](function: F) -> F:
    """Compiled function that Python calls: cached on disk, releases the interpreter lock."""
    return kept(function, nogil=True, error_model="numpy", no_cfunc_wrapper=True)


class Reference(types.Type):
    """Type of a pointer to a named tuple, whose fields are read one by one.

    Updates get their arguments as references: the thousand words of all arrays are not copied in each call.
    """

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        super().__init__(name=f"Reference({kind})")


@register_model(Reference)
class _ReferenceModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Reference) -> None:
        super().__init__(manager, kind, manager.lookup(kind.kind).get_value_type().as_pointer())


@infer_getattr
class _ReferenceFields(AttributeTemplate):  # type: ignore[misc]
    key = Reference

    def generic_resolve(self, reference: Reference, field: str) -> Any:
        kind = reference.kind
        return kind[kind.fields.index(field)] if field in kind.fields else None


@lower_getattr_generic(Reference)  # type: ignore[untyped-decorator]
def _read_field(context: Any, builder: Any, kind: Reference, value: Any, field: str) -> Any:
    position = kind.kind.fields.index(field)
    zero, index = (context.get_constant(types.int32, i) for i in (0, position))
    return builder.load(builder.gep(value, [zero, index], inbounds=True))


@intrinsic  # type: ignore[untyped-decorator]
def reference(typingctx: Any, value: Any) -> Any:
    """Reference to a named tuple, valid as long as the function that asks for it runs."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return cgutils.alloca_once_value(builder, args[0])

    return Reference(value)(value), codegen


@intrinsic  # type: ignore[untyped-decorator]
def call_update(typingctx: Any, address: Any, rng: Any, data: Any, state: Any, scratch: Any) -> Any:
    """Call the update compiled at ``address`` with the other arguments; updates raise nothing."""
    signature = types.void(address, rng, data, state, scratch)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args[1:]
        function = context.call_conv.get_function_type(types.void, kinds)
        pointer = builder.inttoptr(args[0], function.as_pointer())
        context.call_conv.call_function(builder, pointer, types.void, kinds, args[1:])
        return context.get_dummy_value()

    return signature, codegen


def signature(rng: np.random.Generator, *tuples: tuple[Any, ...]) -> tuple[Any, ...]:
    """Types of an update's arguments, whose named tuples it gets as references. It takes milliseconds."""
    return (numba.typeof(rng), *(Reference(numba.typeof(x)) for x in tuples))


def address(compiled: Any, signature: tuple[Any, ...]) -> int:
    """Address of an update for arguments of these types; it is compiled, or loaded from the cache."""
    compiled.compile(signature)
    made = compiled.overloads[signature]
    return int(made.library.get_pointer_to_function(made.fndesc.llvm_func_name))


def _exp(x: float) -> float:
    return math.exp(x) if x < _MAX_EXP else math.inf


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else (-math.inf if x == 0.0 else math.nan)


# The functions of ``math``, with infinities where Python raises errors and compiled code does not
_PLAIN_MATH: Final = SimpleNamespace(**{**vars(math), "exp": _exp, "log": _log})


def plain(compiled: Any) -> Callable[..., Any]:
    """The function as Python runs it, and all kernels that it calls: slow, and without any compilation."""
    function = getattr(compiled, "py_func", compiled)
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        if hasattr(scope.get(name), "py_func"):
            scope[name] = plain(scope[name])
    if "math" in scope:
        scope["math"] = _PLAIN_MATH
    return FunctionType(function.__code__, scope, function.__name__)


def forget_stale_kernels(compiled: Iterable[Any]) -> None:
    """Delete the compiled updates on disk when the source of any kernel has changed.

    The cache of Numba looks at the file of the cached function alone, and would go on with old versions of
    the functions in other files that are compiled into it.
    """
    digest = hashlib.sha256()
    files = sorted(_PACKAGE.rglob("*.py"))
    for file in files:
        digest.update(file.read_bytes())
    try:
        folders = {Path(c._cache.cache_path) for c in compiled}
        for folder in folders:
            stamp = folder / _STAMP
            if stamp.exists() and stamp.read_text() == digest.hexdigest():
                continue
            for source in files:
                for file in folder.glob(f"{source.stem}.*.nb[ci]"):
                    file.unlink(missing_ok=True)
            stamp.write_text(digest.hexdigest())
    except (OSError, AttributeError):  # no cache: nothing is kept, or nothing can be changed
        return
