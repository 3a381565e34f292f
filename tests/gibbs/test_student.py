"""The normalising constant of Student-t noise, which the sampler has by a series of its own."""

import numpy as np
from scipy import stats

from bdfm.gibbs.compiling import plain
from bdfm.gibbs.updates.student import student_norm


def test_norm_of_any_degrees_of_freedom():
    nu = np.geomspace(1e-3, 1e4, 400)
    found = [plain(student_norm)(x) for x in nu]
    np.testing.assert_allclose(found, stats.t.logpdf(0.0, nu), rtol=1e-11, atol=1e-12)
