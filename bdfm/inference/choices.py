"""What a user can choose about a fit, and the defaults: light, since the command line shows them."""

from __future__ import annotations

from typing import Final, Literal

Engine = Literal["auto", "gibbs", "nuts"]  # auto: the fastest that covers the model
Sampler = Literal["nutpie", "pymc", "numpyro", "blackjax"]  # of nuts

ENGINE: Final[Engine] = "auto"
DRAWS: Final = "auto"  # gibbs: sweeps until the thresholds of convergence hold; nuts: FIXED_DRAWS
FIXED_DRAWS: Final = 1000  # kept draws of each chain, of nuts
# Largest number of kept draws of each chain in automatic length. The largest R-hat of thousands of quantities
# is far from 1 with few draws, however good they are; and files and diagnoses grow with their number.
MOST_DRAWS: Final = 750
MOST_MOVED: Final = 600  # of an update: with 560 more of them need further sweeps
# Of the draws that are kept of all chains, where they are large: one of 100 assets on 1,000 days has 0.9 MB,
# and four chains keep 525 to 650 each. It does not depend on the machine: the same seed gives the same draws.
KEPT_BYTES: Final = 2_400_000_000
COPIES: Final = 3  # of draws at the worst moment: as kept, by name, and what a diagnosis makes
# Largest R-hat less 1 of thousands of quantities, times the number of draws of all chains, where draws are
# independent: with too few draws the thresholds are out of reach (tests/inference/test_stopping.py).
INDEPENDENT: Final = 14.0
FEWEST_DRAWS: Final = 200  # of each chain, however large
TUNE: Final = 500  # first draws of each chain, thrown away: chains forget their start in some 200 sweeps
THIN: Final = 6  # sweeps for each kept draw: most quantities are new by then
CHAINS: Final = 4
# Of a forecast. Many, because quintile probabilities are means over draws: with 600,000 the ranked
# probability score of one M6 forecast has a Monte Carlo sd of about 1.4e-5, with 100,000 of about 3e-5.
N_PREDICTIVE_DRAWS: Final = 600_000

# Thresholds of convergence: Vehtari et al. (2021), section 4
RHAT_MAX: Final = 1.01
ESS_MIN: Final = 400.0  # over all chains
MAX_SWEEPS: Final = 41_000  # four times what a month of M6 took before its length was automatic
