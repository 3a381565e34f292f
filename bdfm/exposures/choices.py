"""What a user can choose about exposures, and the defaults: light, since the command line shows them."""

from enum import StrEnum
from typing import Final


class Method(StrEnum):
    """Names of the methods on the command line."""

    constant = "constant"
    rolling = "rolling"
    kalman = "kalman"
    dcc = "dcc"
    bayes = "bayes"
    pca = "pca"
    vae = "vae"


class Unit(StrEnum):
    """What a file of factor returns holds."""

    percent = "percent"
    decimal = "decimal"


# When no method is named
METHODS: Final = (Method.constant, Method.rolling, Method.kalman, Method.dcc)

WINDOW_DAYS: Final = 750  # of rolling regressions
N_LATENTS: Final = 10
GAMMA: Final = 6.0  # weight of the FactorVAE's total correlation
