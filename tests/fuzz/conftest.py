"""The folder that the commands of these tests begin with."""

import gc

import fuzz_world as world
import pytest


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Files, a forecast, a posterior, a ledger of one month, two backtests; fits are short meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        world.short_fits(patch.setattr)
        folder = tmp_path_factory.mktemp("fuzz")
        world.make_world(folder)
        yield folder
    # A NetCDF file that failed leaves a buffer in a cycle, of which the collector complains: here, where that
    # is not an error, and not in whichever test comes next.
    gc.collect()
