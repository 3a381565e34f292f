"""Every dimension, group and variable name of the package, stated once.

The names of variables are those of the symbol table in ``docs/model.md``; the comment beside each
name gives the symbol, the dims and the unit.
"""

from __future__ import annotations

from typing import Final

# Dimensions
PERIOD: Final = "period"  # t; coordinate: the last day of the period
ASSET: Final = "asset"  # i; coordinate: symbol
FACTOR: Final = "factor"  # k; coordinate: 1..K
ASSET_CLASS: Final = "asset_class"  # c
WINDOW: Final = "window"  # trading days of a realised-volatility window
LAG: Final = "lag"
FACTOR_BEFORE: Final = "factor_before"  # the factors of the period before, as columns of a VAR matrix
LATER_BLOCK: Final = "later_block"  # all blocks but the first
BLOCK: Final = "block"  # of periods with the same loadings; a forecast uses the last one
CHARACTERISTIC: Final = "characteristic"  # of an asset, standardised over assets
CHAIN: Final = "chain"
DRAW: Final = "draw"
QUANTILE: Final = "quantile"  # 1 is the lowest
PORTFOLIO: Final = "portfolio"
OTHER_FACTOR: Final = "other_factor"  # second factor of a covariance
OTHER_ASSET: Final = "other_asset"  # second asset of a covariance
DAY: Final = "day"  # trading day of daily exposures
OBSERVED_FACTOR: Final = "observed_factor"  # published factor, where FACTOR holds latent ones
SECTOR: Final = "sector"

# Labels along dims
PERIOD_START: Final = "period_start"  # (period) last day before the period's first
CLASS_OF: Final = "class_of"  # (asset) name of the asset's class
NAME: Final = "name"  # (asset) name for people; the symbol where none is given

# Panel variables (also the names of the model's data containers)
RETURNS: Final = "log_returns"  # r_it (period, asset), decimal log return over the period
RECENT_RETURN: Final = "recent_return"  # x^rr (period, asset), in the asset's own weekly standard deviations
RECENT_VOLATILITY: Final = (
    "recent_volatility"  # x^rv (period, asset, window), log ratio to the asset's own past
)
RECENT_RETURN_MISSING: Final = "recent_return_missing"  # (period, asset)
RECENT_VOLATILITY_MISSING: Final = "recent_volatility_missing"  # (period, asset, window)
MARKET_VOLATILITY: Final = "market_volatility"  # x^m (period, window), log ratio to the market's own past
CHARACTERISTICS: Final = "characteristics"  # z (asset, characteristic), known at the origin
CHARACTERISTICS_PATH: Final = "characteristics_path"  # z (period, asset, characteristic), at each start
MARKET_RISK: Final = "market_risk"  # x^mr (period, asset), decimal sd of the market's part, signed like beta
OUTSIDE_VOLATILITY: Final = "outside_volatility"  # x^o (period, asset), log ratio of a given volatility
ROLLING_COVARIANCE: Final = "rolling_covariance"  # (asset, other_asset), of log returns of the next period
EARNINGS: Final = "earnings"  # I^e (period, asset), 0 or 1
CLASS_INDEX: Final = "class_index"  # c(i) (asset), position in the asset_class coordinate
PERIOD_WEIGHTS: Final = "period_weights"  # omega_t (period), in (0, 1]
LOADING_BLOCK: Final = "loading_block"  # (period), position in the block dim, or below 0 from its end
PERIOD_NUMBER: Final = "period_number"  # (period), 0 for the first of the history, on beyond the origin
OBSERVED: Final = "observed"  # (period, asset), True where r_it is known

# Model variables
LOADINGS: Final = "loadings"  # w_ki (asset, factor), dimensionless; where they move, those at the origin
LOADINGS_PATH: Final = "loadings_path"  # w_ki (block, asset, factor), only where loadings move
LOADING_DRIFT: Final = "loading_drift"  # delta, sd of a year's change of a loading
LOADING_SLOPES: Final = "loading_slopes"  # Gamma (characteristic, factor)
FACTORS: Final = "factors"  # lambda_kt (period, factor), decimal per period
FACTORS_NEXT: Final = "factors_next"  # lambda_k,T+1 (factor), only with evidence
FACTOR_SCALE: Final = "factor_scale"  # sigma_lambda_k (factor), decimal per period
PREMIUM: Final = "premium"  # pi_k (factor), mean of a factor over its scale, per period
BETA_MV: Final = "beta_mv"  # beta^m (window), slope of log factor scales on market volatility
LOG_MULTIPLIER: Final = "log_multiplier"  # h_t (period), latent log of the factors' scale over its average
LOG_MULTIPLIER_NEXT: Final = "log_multiplier_next"  # h_T+1 (scalar), only with evidence
FACTOR_VOLATILITY: Final = "factor_volatility"  # h_kt (period, factor), log of a scale over its average
FACTOR_PHI: Final = "factor_phi"  # phi_k (factor), persistence of h_k
FACTOR_VOLATILITY_SD: Final = "factor_volatility_sd"  # varsigma_k (factor), sd of the shocks to h_k
LEVERAGE: Final = "leverage"  # varrho_k (factor), correlation of a factor's shock with the next one to h_k
VOLATILITY_STATE: Final = "volatility_state"  # v_it (period, asset), latent log noise scale less its level
LOGIT_PHI: Final = "logit_phi"  # logit phi_i (asset), persistence of v_i
LOG_VOLATILITY_SD: Final = "log_volatility_sd"  # log varsigma_i (asset), of the sd of the shocks to v_i
FACTOR_NU: Final = "factor_nu"  # nu_lambda, degrees of freedom of the factor innovations
FACTOR_MIXING: Final = "factor_mixing"  # xi_t (period), precision of the factor innovations over its average
FACTOR_MIXING_NEXT: Final = "factor_mixing_next"  # xi_T+1 (scalar), only with evidence
PHI: Final = "phi"  # persistence of h, dimensionless
ALPHA: Final = "alpha"  # alpha_i (asset), decimal per period
THETA: Final = "theta"  # theta_i (asset), log of decimal per period
SHARPE: Final = "sharpe"  # kappa_i (asset), expected return over market risk, per period
BETA_RR: Final = "beta_rr"  # beta^rr_i (asset), decimal per weekly standard deviation
BETA_RV: Final = "beta_rv"  # beta^rv_i (asset, window)
BETA_OV: Final = "beta_ov"  # beta^o_i (asset)
BETA_EARNINGS: Final = "beta_earnings"  # beta^e_i (asset)
NU: Final = "nu"  # nu_i (asset), degrees of freedom
RHO: Final = "rho"  # short-term reversal, dimensionless
BETA_MOMENTUM: Final = "beta_momentum"  # beta of eq. 3b, dimensionless
VAR_MATRIX: Final = "var_matrix"  # Phi (factor, factor_before)
EVIDENCE: Final = "evidence"  # assets with evidence on the forecast period
PERIOD_REDRAWN: Final = "period_redrawn"  # fact of a forecast: paths differ in the period's own state
EVIDENCE_RETURN: Final = "evidence_return"  # r_i,T+1 of those assets, log return

# Risk model variables
EXPOSURES: Final = "exposures"  # B (asset, factor), return of the asset per unit of factor return
FACTOR_COVARIANCE: Final = "factor_covariance"  # F (factor, other_factor), squared decimals
SPECIFIC_VARIANCE: Final = "specific_variance"  # D (asset), squared decimals
FACTOR_RETURNS: Final = "factor_returns"  # f_t (period, factor), decimal per period
SPECIFIC_RETURNS: Final = "specific_returns"  # u_it (period, asset), decimal per period

# DataTree groups
POSTERIOR: Final = "posterior"
SAMPLE_STATS: Final = "sample_stats"
OBSERVED_DATA: Final = "observed_data"
CONSTANT_DATA: Final = "constant_data"  # the data containers of the PyMC form
PANEL: Final = "panel"  # the panel, history and future
LOG_LIKELIHOOD: Final = "log_likelihood"
TOTAL_LOG_LIKELIHOOD: Final = "total_log_likelihood"  # in sample_stats; ArviZ takes the name above for cells

# Files of a folder of results
FORECAST_FILE: Final = "forecast.nc"
POSTERIOR_FILE: Final = "posterior.nc"
SUMMARY_FILE: Final = "summary.json"
RUN_FILE: Final = "month.toml"  # copy of the run file
MADE_FILE: Final = "run.toml"  # run file of a forecast that had none
LEDGER_FILE: Final = "ledger.sqlite"
REPORT_FILE: Final = "report.html"

# What a run file may say, for who reads a part of it; ``RunFile`` has the rest
RUN_TABLES: Final = (
    "data", "model", "accept", "seed", "n_draws", "views_method", "sampler", "aliases", "evidence", "edits",
    "views", "shares", "pool", "decision", "mandate", "outputs", "warm_from", "memory", "keep_draws",
    "ledger", "holdings", "out",
)  # fmt: skip
