"""The data of ``moving_betas``, made once."""

import pytest
from moving_betas import simulated

from bdfm.exposures import ExposureData


@pytest.fixture(scope="session")
def moving():
    """Data, and the true betas."""
    returns, factors, betas = simulated()
    sectors = ["tech", "tech", "energy", "energy", "banks", "banks"]
    return ExposureData.from_arrays(returns, factors, factor_names=("market", "size"), sectors=sectors), betas


@pytest.fixture(scope="session")
def data(moving):
    return moving[0]
