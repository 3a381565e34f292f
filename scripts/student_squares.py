"""Fit the mixtures of normal densities that ``bdfm/gibbs/updates/student_squares.py`` holds.

    python scripts/student_squares.py

The log of a squared Student-t variable with nu degrees of freedom has the density

    f(x) = exp(x / 2) / (sqrt(nu) B(1/2, nu/2)) (1 + exp(x) / nu)^(-(nu + 1) / 2).

For each of the knots of log nu, weights, means and variances of seven normal densities g are found by least
squares of log g - log f under f: what is accepted by the ratio of exact over mixture depends on this alone.
Each knot begins at the solution of its neighbour and is held near it by a small ridge, so that values between
knots are near mixtures too. Printed: the table, then the root mean square of log g - log f at knots and
between them.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from bdfm.gibbs.updates.student_squares import KNOTS, LOG_NU_STEP

type Floats = NDArray[np.float64]

PARTS = 7
START = 8.0  # degrees of freedom where the first fit is made
RIDGE = 3e-5
X = np.linspace(-30.0, 30.0, 3001)
# A start at eight degrees of freedom, from the largest squares to the smallest
FIRST = np.array([
    [-3.5, -1.8, -1.2, -1.3, -2.0, -3.4, -5.7],
    [1.1, 0.4, -0.5, -1.9, -3.9, -6.8, -11.0],
    [-0.4, 0.0, 0.4, 0.8, 1.3, 1.9, 2.8],
])  # fmt: skip


def log_density(nu: float, x: Floats) -> Floats:
    """Log density of the log of a squared Student-t variable."""
    constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi)
    found: Floats = constant + 0.5 * x - 0.5 * (nu + 1) * np.log1p(np.exp(x) / nu)
    return found


def log_mixture(table: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Log density of a mixture, and each part's share of it: rows are log weight, mean and log variance."""
    weight, mean, spread = (row[:, None] for row in table)
    weight = weight - np.log(np.exp(weight).sum())
    terms = weight - 0.5 * (spread + math.log(2 * math.pi)) - 0.5 * (x - mean) ** 2 * np.exp(-spread)
    top = terms.max(axis=0)
    shares = np.exp(terms - top)
    total = shares.sum(axis=0)
    return top + np.log(total), shares / total


def error(nu: float, table: Floats) -> float:
    """Root mean square of log mixture less log density, under the density."""
    exact = log_density(nu, X)
    off = log_mixture(table, X)[0] - exact
    return float(np.sqrt(np.trapezoid(np.exp(exact) * off**2, X)))


def fit(nu: float, near: Floats, ridge: float) -> Floats:
    """Least squares from, and near to, a table."""
    exact = log_density(nu, X)
    root = np.sqrt(np.exp(exact) * (X[1] - X[0]))
    used = root > 1e-8

    def off(p: Floats) -> Floats:
        return np.concatenate(
            [(root * (log_mixture(p.reshape(3, -1), X)[0] - exact))[used], ridge * (p - near.ravel())]
        )

    def slope(p: Floats) -> Floats:
        table = p.reshape(3, -1)
        share = log_mixture(table, X)[1]
        z = X - table[1][:, None]
        precision = np.exp(-table[2])[:, None]
        weight = np.exp(table[0]) / np.exp(table[0]).sum()
        parts = [share - weight[:, None], share * z * precision, share * (0.5 * z**2 * precision - 0.5)]
        return np.concatenate([(np.concatenate(parts) * root).T[used], ridge * np.eye(p.size)])

    found = least_squares(off, near.ravel(), jac=slope, max_nfev=500, ftol=1e-13, xtol=1e-10).x
    table: Floats = found.reshape(3, -1)
    table[0] -= np.log(np.exp(table[0]).sum())
    return table


def main() -> None:
    """Fit from the middle outwards, and print."""
    nus = np.exp(LOG_NU_STEP * np.arange(KNOTS))
    middle = int(np.abs(nus - START).argmin())
    table = FIRST
    for ridge in (1e-2, 1e-3, 1e-4, RIDGE):
        table = fit(nus[middle], table, ridge)
    tables = {middle: table}
    for way in (1, -1):
        k = middle + way
        while 0 <= k < KNOTS:
            tables[k] = fit(nus[k], tables[k - way], RIDGE)
            k += way
    for row, name in enumerate(("_LOG_WEIGHT", "_MEAN", "_LOG_VARIANCE")):
        print(f"{name}: Final = (")
        for k in range(KNOTS):
            print("    (" + ", ".join(f"{x:.4f}" for x in tables[k][row]) + "),")
        print(")  # fmt: skip")
    for k in range(KNOTS):
        between = ""
        if k + 1 < KNOTS:
            nu, mean = math.sqrt(nus[k] * nus[k + 1]), 0.5 * (tables[k] + tables[k + 1])
            between = f"; at {nu:.1f} {error(nu, mean):.5f}"
        print(f"# nu {nus[k]:.1f}: {error(nus[k], tables[k]):.5f}{between}")


if __name__ == "__main__":
    main()
