"""What the tests of volatilities' paths share: a small world with both kinds, and checks of draws."""

from contextlib import ExitStack

import numpy as np
import pytest
from drivers import ASSET_PATHS, FACTOR_PATHS, make_spec, make_values, patched

from bdfm.gibbs.updates import log_squares, student_squares

BOTH = FACTOR_PATHS | ASSET_PATHS
ASSET_PARAMETERS = ("logit_phi", "log_volatility_sd")


def world(**parts):
    spec = make_spec(**parts)
    return spec, make_values(spec)


def poorer(off):
    """Context in which all means of both mixtures are wrong by ``off``."""
    both = ExitStack()
    both.enter_context(patched("MEAN", log_squares.MEAN + off))
    both.enter_context(patched("KNOT_MEAN", student_squares.KNOT_MEAN + off))
    return both


def long(*values):
    """Parameters of the slow tests."""
    return [pytest.param(*x, marks=pytest.mark.slow) for x in values]


def assert_moments(draws, weighted, log_weight, *, least, correlated):
    """Means, squares and products of neighbours of draws are those of a weighted sample (draw, ...).

    ``least``: effective draws that the weights must leave; ``correlated``: draws that count as one.
    """
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    effective = 1 / np.square(weight).sum()
    assert effective > least
    for of in (lambda x: x, np.square, lambda x: x * np.roll(x, 1, axis=1)):
        mean = weight @ of(weighted)
        error = np.sqrt(weight @ np.square(of(weighted) - mean) * (1 / effective + correlated / len(draws)))
        assert np.abs((of(draws).mean(axis=0) - mean) / error).max() < 4.5
