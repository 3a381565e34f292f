"""What only tuning changes: the schedule of over-relaxation, step sizes, leverages.

Adaptation ends with the tuning sweeps, so that the draws that are kept come from one Markov chain.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data
from bdfm.gibbs.scratch import Scratch, Tuning
from bdfm.gibbs.state import State

RELAX: Final = 0.8  # strength of over-relaxation, in [0, 1); 0.8 to 0.9 gave the largest worst ESS on M6 data
PLAIN: Final = 50  # first tuning sweeps without over-relaxation, which would carry a far start on
DECAY: Final = 0.6  # gain of adaptation after n sweeps: (n + 1)^-0.6
MIN_LEVERAGE: Final = (
    0.1  # share of an asset in what is known of the factors, from which its noise moves along
)
NU_TARGET: Final = 0.3  # acceptance rate that the step of sigma_nu is tuned to


@update
def begin_sweep(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Count a sweep, and set its gain of adaptation and its over-relaxation."""
    tuning = scratch.tuning
    n = tuning.sweeps[0]
    tuning.gain[0] = (n + 1.0) ** -DECAY if tuning.adapting[0] else 0.0
    tuning.relax[0] = RELAX if n >= PLAIN or not tuning.adapting[0] else 0.0
    tuning.sweeps[0] = n + 1


@kernel
def adapt_leverage(tuning: Tuning, i: int, now: float) -> None:
    """Move the running mean of the leverage of asset i towards its value now."""
    if tuning.adapting[0]:
        tuning.leverage[i] += tuning.gain[0] * (now - tuning.leverage[i])


@kernel
def adapt_path_centre(tuning: Tuning, group: int, mu_phi: float, mu_sd: float) -> None:
    """Move the running means of the locations of logit phi and log sd of a group towards their values now."""
    if tuning.adapting[0]:
        tuning.path_centre[0, group] += tuning.gain[0] * (mu_phi - tuning.path_centre[0, group])
        tuning.path_centre[1, group] += tuning.gain[0] * (mu_sd - tuning.path_centre[1, group])


@kernel
def adapt_step_nu(tuning: Tuning, log_ratio: float) -> None:
    """Move the step of sigma_nu towards its target rate, after a move with this acceptance ratio."""
    if tuning.adapting[0]:
        rate = min(1.0, math.exp(min(log_ratio, 0.0)))
        tuning.log_step_nu[0] += tuning.gain[0] * (rate - NU_TARGET)
