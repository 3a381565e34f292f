"""The folder that the commands of these tests begin with."""

import gc

import fuzz_world as world
import pytest


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Files, a forecast, a posterior, a ledger of one month, two backtests."""
    with pytest.MonkeyPatch.context() as patch:
        world.short_fits(patch.setattr)
        folder = tmp_path_factory.mktemp("fuzz")
        world.make_world(folder)
    return folder


@pytest.fixture(scope="module")
def base(made_once):
    """That folder, for tests that copy it; fits are short meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        world.short_fits(patch.setattr)
        yield made_once
    # A NetCDF file that failed leaves a buffer in a cycle, of which the collector complains: here, where that
    # is not an error, and not in whichever test comes next.
    gc.collect()
