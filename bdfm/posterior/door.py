"""The one door through which draws become a posterior: labels, completeness, locks."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks, _renamed
from bdfm._reading import counted
from bdfm._version import __version__
from bdfm.data.panel import Panel
from bdfm.errors import DataError, FileError, ModelError, UnknownLabelError
from bdfm.model.equations import RETURNS_DATA, Equations, model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.part import Turn
from bdfm.names import (
    ASSET,
    CHAIN,
    CONSTANT_DATA,
    DRAW,
    FACTOR,
    LOG_LIKELIHOOD,
    OBSERVED_DATA,
    PANEL,
    PERIOD,
    POSTERIOR,
    RETURNS,
    SAMPLE_STATS,
    TOTAL_LOG_LIKELIHOOD,
)
from bdfm.posterior.told import evidence_values

PACKAGES: Final = ("pymc", "pytensor", "nutpie", "arviz", "xarray", "numpy", "pandas")


PRECISION: Final = "precision"  # attribute of a tree; without it draws are in double precision
SINGLE: Final = "single"
_AT_ONCE: Final = 2**20  # numbers
KEPT_BITS: Final = 16  # of draws with a number for each asset or period and one thing more, in a small file


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    own = {"python": platform.python_version(), "bdfm": __version__}
    return own | {name: version(name) for name in PACKAGES}


def tree_of(
    draws: xr.Dataset,
    sample_stats: xr.Dataset,
    model: FactorModel,
    panel: Panel,
    attrs: Mapping[str, Any],
    evidence: Sequence[Evidence],
    turns: Mapping[str, str],
) -> xr.DataTree:
    """Tree of a posterior, all that it holds: draws checked, and what they were drawn of and with."""
    checked = checked_draws(draws, model, panel, model.in_fit(evidence), turns)
    history = panel.history[RETURNS].reset_coords(drop=True).to_dataset()
    groups = {
        POSTERIOR: checked,
        SAMPLE_STATS: totalled(sample_stats),
        OBSERVED_DATA: history,
        CONSTANT_DATA: constant_data(model, panel),
        PANEL: panel.to_dataset(),
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(
        {
            "model_name": model.name,
            "model_toml": model.to_toml(),
            "evidence": json.dumps(evidence_values(evidence)),
            "turns": json.dumps(turns),
            **attrs,
        }
    )
    return tree


def checked_draws(
    draws: xr.Dataset,
    model: Equations,
    panel: Panel,
    evidence: Sequence[Evidence],
    turns: Mapping[str, str],
) -> xr.Dataset:
    """Draws (chain, draw, ...) of all variables of the model, labels in its order; raises otherwise."""
    where = f"posterior of model {model.name!r}"
    ahead = model.variables_ahead if evidence else ()
    unasked = [] if evidence else [v.name for v in model.variables_ahead if v.stored and v.name in draws]
    if unasked:
        raise DataError(
            f"{where}: the draws hold {_checks.first(unasked)}, which only a fit with evidence has. Give the"
            " evidence too: evidence=posterior.evidence, or what the model was built with."
        )
    declared = {v.name: v for v in (*model.variables, *ahead)}
    missing = [v.name for v in declared.values() if v.stored and v.name not in draws]
    if missing:
        raise DataError(
            f"{where}: the draws lack {_checks.first(missing)}. Keep all variables of the model when you"
            " sample."
        )
    coords = model.coords(panel, evidence)
    for dim in (*draws.dims, *(d for v in declared.values() for d in v.dims)):
        if str(dim) in coords and dim in draws.dims:
            draws = _in_order(draws, str(dim), list(coords[str(dim)]), where)
    for name, variable in draws.data_vars.items():
        known = declared.get(str(name))
        if known is not None and set(variable.dims) != {CHAIN, DRAW, *known.dims}:
            raise DataError(
                f"{where}: {name} has dims {', '.join(map(str, variable.dims))}; expected"
                f" {', '.join((CHAIN, DRAW, *known.dims))}."
            )
        if wrong := _no_numbers(name, variable):
            raise DataError(f"{where}: {wrong}. The fit has failed: check the model's priors and the data.")
        if known is None and FACTOR in variable.dims and str(name) not in turns:
            raise DataError(
                f"{where}: {name} has a factor dim, and factors are known up to rotation only. Say how it"
                f' turns: turns={{"{name}": "factors"}}, "loadings" or "standard".'
            )
    for name, how in turns.items():
        _checks.known([how], [t.name.lower() for t in Turn], what="turn", where=f"{where}, {name}")
    # Variables, so that dims come in the order of the declaration whatever the sampler's.
    return draws.transpose(CHAIN, DRAW, ..., missing_dims="ignore").assign(
        {
            n: draws[n].transpose(CHAIN, DRAW, *v.dims).assign_attrs(units=v.unit, long_name=v.title)
            for n, v in declared.items()
            if n in draws
        }
    )


def _no_numbers(name: object, variable: xr.DataArray) -> str:
    """What is wrong with the type or the values of draws, in words; blank for finite real numbers."""
    values = variable.to_numpy()
    if values.dtype.kind not in "fiub":
        return f"draws of {name} are of type {values.dtype}, no real numbers"
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return f"{name} has draws that are not finite{_of_assets(variable)}"
    return ""


def _of_assets(variable: xr.DataArray) -> str:
    """Assets whose draws are not finite, in words; blank for a variable that assets share."""
    if ASSET not in variable.dims or ASSET not in variable.coords:
        return ""
    values = np.moveaxis(variable.to_numpy(), variable.dims.index(ASSET), 0)
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return f" for {_checks.first(variable[ASSET].to_numpy()[~finite])}"


def _in_order(draws: xr.Dataset, dim: str, labels: list[Any], where: str) -> xr.Dataset:
    """Draws with the labels of one dim in the order given; other labels, or none, are refused."""
    if dim not in draws.coords:
        raise DataError(
            f"{where}: the draws have a dim {dim} without labels. Give the coordinate, so that draws meet"
            f" the {dim}s of the model by name and not by position."
        )
    found = draws[dim].to_numpy().tolist() if dim != PERIOD else list(draws[dim].to_numpy())
    expected = [x.item() if isinstance(x, np.generic) and dim != PERIOD else x for x in labels]
    if found == expected:
        return draws
    if len(found) != len(expected) or set(found) != set(expected):
        alien = [str(x) for x in found if x not in set(expected)]
        absent = [str(x) for x in expected if x not in set(found)]
        parts = [f"unknown: {_checks.first(alien)}"] if alien else []
        parts += [f"missing: {_checks.first(absent)}"] if absent else []
        parts += [] if parts else [f"{counted(len(found), 'label')} for {len(expected)}"]
        raise DataError(f"{where}: the {dim} labels of the draws are not the panel's ({'; '.join(parts)}).")
    return draws.sel({dim: expected})


def totalled(stats: xr.Dataset) -> xr.Dataset:
    """Statistics of a sampler whose log-likelihood (chain, draw), a total, is called so.

    Called ``log_likelihood``, it was one observation to ``az.loo(posterior.tree)``, which gave a number.
    """
    return stats.rename({LOG_LIKELIHOOD: TOTAL_LOG_LIKELIHOOD}) if LOG_LIKELIHOOD in stats else stats


def completed(tree: xr.DataTree, path: Path) -> xr.DataTree:
    """Tree of a file, which must have all groups of a posterior."""
    lacking = [group for group in (POSTERIOR, SAMPLE_STATS, PANEL) if group not in tree.children]
    if lacking:
        raise FileError(
            f"{path}: the file has no group {_checks.first(lacking)}: another release of bdfm wrote it. Fit"
            " again, or read it with the release that wrote it."
        )
    tree = tree.copy()
    tree[SAMPLE_STATS] = xr.DataTree(totalled(tree[SAMPLE_STATS].to_dataset()))  # of files of before
    draws = tree[POSTERIOR].to_dataset()
    try:
        panel = Panel.from_dataset(tree[PANEL].to_dataset())
    except (DataError, ValueError) as error:
        raise FileError(f"{path}: its panel cannot be read: {error} Fit again.") from None
    for dim, labels in ((PERIOD, panel.history[PERIOD].to_numpy()), (ASSET, np.array(panel.assets))):
        if dim in draws.dims and dim not in draws.coords:
            raise FileError(
                f"{path}: its draws have no {dim} labels, so the file was changed by hand. Fit again."
            )
        if dim in draws.coords and draws[dim].to_numpy().tolist() != labels.tolist():
            raise FileError(
                f"{path}: the {dim} labels of its draws are not those of its panel, so the file was changed"
                " by hand. Fit again."
            )
    _check_numbers(draws, path)
    # A part of the reader's own, or a setting that is refused today, is told when the model is needed.
    with suppress(ModelError, UnknownLabelError), _renamed.of_a_file():
        model = FactorModel.from_toml(str(tree.attrs["model_toml"])) if "model_toml" in tree.attrs else None
        if model is not None:
            tree[POSTERIOR] = xr.DataTree(_in_declared_order(draws, model, path))
    return _with_type(tree, np.float64) if PRECISION in tree.attrs else tree


def _check_numbers(draws: xr.Dataset, path: Path) -> None:
    """Raise ``FileError`` for draws of a file that are none, or no real numbers."""
    sizes = [draws.sizes.get(dim, 0) for dim in (CHAIN, DRAW)]
    if not all(sizes):
        raise FileError(f"{path}: it holds {sizes[0]} chains of {sizes[1]} draws. Fit again.")
    for name, variable in draws.data_vars.items():
        if wrong := _no_numbers(name, variable):
            raise FileError(f"{path}: {wrong}. Fit again.")


def _in_declared_order(draws: xr.Dataset, model: Equations, path: Path) -> xr.Dataset:
    """Draws of a file with the dimensions of each variable in the model's order, by name.

    Raises ``FileError`` for a variable along other dimensions than the model's.
    """
    found = {}
    for declared in (*model.variables, *model.variables_ahead):
        if declared.name not in draws:
            continue
        variable, dims = draws[declared.name], (CHAIN, DRAW, *declared.dims)
        if set(variable.dims) != set(dims):
            raise FileError(
                f"{path}: {declared.name} is along {', '.join(map(str, variable.dims))}, not"
                f" {', '.join(dims)}: it is of another model. Fit again."
            )
        found[declared.name] = variable.transpose(*dims)
    return draws.transpose(CHAIN, DRAW, ..., missing_dims="ignore").assign(found)


def constant_data(model: Equations, panel: Panel) -> xr.Dataset:
    """Data containers of the PyMC form, as PyMC keeps them beside a trace: whole numbers in 32 bits."""
    arrays, coords = model_data(model, panel), model.coords(panel)
    arrays = {n: x.astype(np.int32) if x.dtype.kind == "i" else x for n, x in arrays.items()}
    dims = model.data_dims
    found: dict[str, Any] = {name: (dims[name], arrays[name]) for name in dims}
    found[RETURNS_DATA] = ((PERIOD, ASSET), arrays[RETURNS])
    used = {d for ds, _ in found.values() for d in ds}
    return xr.Dataset(found, coords={d: x for d, x in coords.items() if d in used})


def in_single_precision(tree: xr.DataTree) -> xr.DataTree:
    """Tree whose draws are rounded to single precision, a relative error of 6e-8, and held in double.

    Factors, loadings and whatever else has a number for each asset or period and one thing more are rounded
    to 16 significant bits, a relative error of 1.5e-5: most of the file, and a posterior sd is a percent of
    them at the least. Others may have a bound, such as a persistence below 1, and not be rounded to it.
    """
    draws = tree[POSTERIOR].to_dataset()
    rounded = {}
    for name, x in draws.data_vars.items():
        if x.dtype.kind != "f":
            continue
        values = x.to_numpy().astype(np.float32).astype(np.float64, order="C")
        if len(x.dims) > 3 and {ASSET, PERIOD} & set(x.dims):
            flat = values.reshape(-1)
            for start in range(0, len(flat), _AT_ONCE):  # copies of large draws are large
                here = slice(start, start + _AT_ONCE)
                flat[here] = _in_bits(flat[here], KEPT_BITS)
        values.flags.writeable = False  # nobody else holds it: it need not be copied to be locked
        rounded[name] = x.copy(data=values)
    result = tree.copy()
    result[POSTERIOR] = xr.DataTree(draws.assign(rounded))
    result.attrs[PRECISION] = SINGLE
    return result


def _in_bits(x: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Numbers rounded to so many significant bits."""
    mantissa, exponent = np.frexp(x)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits))


def as_written(tree: xr.DataTree) -> xr.DataTree:
    """Tree as a file holds it: rounded draws in four bytes."""
    return _with_type(tree, np.float32) if PRECISION in tree.attrs else tree


def _with_type(tree: xr.DataTree, kind: type[np.floating[Any]]) -> xr.DataTree:
    """Tree whose draws are real numbers of another type; labels keep theirs."""
    draws = tree[POSTERIOR].to_dataset()
    real = {n: x.astype(kind) for n, x in draws.data_vars.items() if x.dtype.kind == "f"}
    result = tree.copy()
    result[POSTERIOR] = xr.DataTree(draws.assign(real))
    return result


def locked(tree: xr.DataTree) -> xr.DataTree:
    """Tree whose arrays cannot be written to; those that others may hold are copied first."""
    result = tree.copy()
    for node in result.subtree:
        dataset = node.to_dataset(inherit=False)
        copies = {}
        for name, variable in dataset.data_vars.items():
            values = variable.values
            if values.flags.writeable:
                values = values.copy()
                values.flags.writeable = False
                copies[name] = variable.copy(data=values)
        node.dataset = dataset.assign(copies)  # all at once: each by itself, every label is compared anew
    return result
