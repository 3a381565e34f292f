"""Commands on files that a grammar makes: whatever comes, results that are whole, or one clear message.

The invariant is that of ``fuzz_world.faults``: exit code 0 with files that are whole and probabilities that
sum to 1, or 2 with one message under 2,000 characters; no traceback, nothing half-written, a bound of time;
and what ``oracle`` knows to be wrong is never accepted.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import fuzz_commands as grammar
import fuzz_world as world
import oracle
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st


def drawn(draw, *, dear):
    """Commands of a case, each with the file that is spoilt before it; None and None is one fault alone."""
    if grammar.odds(draw, 3):
        return [(None, None)]
    makers = grammar.commands(draw, dear=dear)
    return [(m, None if grammar.odds(draw, 4) else draw(st.sampled_from(grammar.READ[m]))) for m in makers]


def a_case(place, draw, chosen):
    """Files and one command after the other, each held to the invariant."""
    folder, parent = place.folder, place.folder.parent
    place.put_back()
    before = dict(place.made)
    for make, name in chosen:
        if name is not None:
            grammar.spoil(draw, folder, name, place.made[f"{folder.name}/{name}"])
            note(f"{name}: {(folder / name).read_bytes()[:300]!r}")
        words = grammar.one_fault(draw, folder) if make is None else make(draw)
        note(f"bdfm {words}")
        if make is None or name is not None:
            before = world.contents(parent)
        with contextlib.chdir(folder):
            done = world.command(words)
        after = world.contents(parent)
        found = world.faults(done, parent, before, after)
        found += oracle.accepted_wrongly(done.words, done.code, folder, before)
        assert not found, (words, done.code, done.err[-3000:], found)
        before = after


# A NetCDF file that failed leaves a buffer behind, of which the collector complains at some later moment.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def place(base):
    """The one folder of all cases."""
    with tempfile.TemporaryDirectory() as found:
        yield world.Place(base, Path(found) / "x")


COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "print_blob": True}


# Always the same cases; the slow test has many times as many, others each time.
SAME = {"derandomize": True, "phases": [Phase.generate], **COMMON}
# Every command with every kind of file that it reads, so that a few cases of each reach all of them.
KINDS = [
    (make, kind) for make in grammar.CHEAP for kind in sorted({Path(x).suffix for x in grammar.READ[make]})
]
DEAR = {grammar.forecast, grammar.track}  # half a second each where nothing is refused


@settings(max_examples=50, **SAME)
@given(data=st.data())
def test_one_fault_alone(place, data):
    a_case(place, data.draw, [(None, None)])


@pytest.mark.parametrize(("make", "kind"), KINDS, ids=[f"{make.__name__} {kind}" for make, kind in KINDS])
def test_whatever_comes(place, make, kind):
    spoilt = []

    @settings(max_examples=2 if make in DEAR else 7, **SAME)
    @given(data=st.data())
    def cases(data):
        name = data.draw(st.sampled_from([x for x in grammar.READ[make] if x.endswith(kind)]))
        spoilt.append(not grammar.odds(data.draw, 4))
        more = drawn(data.draw, dear=False) if grammar.odds(data.draw, 5) else []
        a_case(place, data.draw, [(make, name if spoilt[-1] else None), *more])

    cases()
    assert any(spoilt)


@pytest.mark.slow
@settings(max_examples=5000, **COMMON)
@given(data=st.data())
def test_whatever_comes_at_length(place, data):
    a_case(place, data.draw, drawn(data.draw, dear=True))
