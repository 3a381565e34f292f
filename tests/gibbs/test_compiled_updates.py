"""Each update alone: the compiled one does what its Python source does, and changes what it says."""

import copy

import numba
import numpy as np
import pytest
from few import few
from gibbs_cases import CASES, IDS, PATHS, paths_spec, small_spec

from bdfm.gibbs.compiling import plain
from bdfm.gibbs.sweep import UPDATES, make_chain, sweep_of

SPECS = {name: (small_spec, case) for name, case in zip(IDS, CASES, strict=True)} | {
    f"paths, {name}": (paths_spec, parts) for name, parts in PATHS.items()
}


def flat(record, name=""):
    """Arrays of nested named tuples by their full name."""
    if isinstance(record, np.ndarray):
        return {name: record}
    parts = {f: getattr(record, f) for f in record._fields}
    return {n: x for f, part in parts.items() for n, x in flat(part, f"{name}.{f}" if name else f).items()}


def test_sweeps_of_all_cases_have_all_updates_but_those_that_bring_up_to_date():
    specs = [make(case) for make, case in SPECS.values()]
    used = {u for spec in specs for u in sweep_of(spec, make_chain(spec, np.random.default_rng(0)).data)}
    unused = {name for name, u in UPDATES.items() if u not in used}
    assert unused == {"begin_new_factors", "refresh_precision", "refresh_log_likelihood"}


# All updates but those that few models have; those of tests/gibbs/test_joint.py are compiled, too.
FAST = (
    "paths, factors",
    "none-both-student factors-static-premium-evidence-student-full",
    "momentum-constant-student factors-blocks-none-evidence-laplace-full",
)


@pytest.mark.parametrize("name", few(SPECS, FAST))
def test_compiled_updates_do_what_their_source_does(name):
    make, case = SPECS[name]
    spec = make(case)
    chain = make_chain(spec, np.random.default_rng(5))
    chain.scratch.tuning.leverage[:] = 1.0
    chain.scratch.tuning.adapting[:] = True
    sweep = sweep_of(spec, chain.data)
    chain.apply(sweep, 5)
    for turn in range(2):
        for update in [*sweep, UPDATES["refresh_log_likelihood"], UPDATES["refresh_precision"]]:
            rng, state, scratch, data = (
                copy.deepcopy(x) for x in (chain.rng, chain.state, chain.scratch, chain.data)
            )
            chain.apply([update])
            with np.errstate(all="ignore"):
                plain(update)(rng, data, state, scratch)
            assert rng.random() == copy.deepcopy(chain.rng).random(), (turn, update)
            for kind, mine, theirs in (("state", state, chain.state), ("scratch", scratch, chain.scratch)):
                for field, x in flat(mine).items():
                    np.testing.assert_allclose(
                        x, flat(theirs)[field], rtol=1e-7, atol=1e-9, err_msg=f"{update} {kind}.{field}"
                    )


def test_sweeps_find_the_types_of_their_arguments_once(monkeypatch):
    # Milliseconds, which a run would spend again in each batch of its sweeps.
    spec = small_spec(CASES[0])
    chain = make_chain(spec, np.random.default_rng(5))
    sweep = chain.compiled(sweep_of(spec, chain.data))

    def again(value):
        raise AssertionError("types are found anew")

    monkeypatch.setattr(numba, "typeof", again)
    kept = np.zeros((2, 3))
    for _ in range(2):
        chain.sample(sweep, 2, 1, kept)
    assert kept.any()
    with pytest.raises(AssertionError, match="found anew"):
        make_chain(spec, np.random.default_rng(5))
