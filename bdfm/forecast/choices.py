"""Forms of a view on the command line: light, since the command line shows them."""

from __future__ import annotations

from typing import Final

FORMS: Final = (
    "TLT = 2% +- 10%",
    "IVV - IEMG >= 1%",
    "0.6 SPY + 0.4 TLT = 1% +- 3%",
    "vol(TLT) = 8%",
    "vol(TLT) = 1.5x",
    "corr(SPY, TLT) = -0.3",
    "XLE > XLU : 0.7",
    "GOOG in 5/5 : 0.3",
    "P(TLT < -5%) = 0.1",
    "VaR(TLT, 95%) <= 8%",
    "CVaR(0.6 SPY + 0.4 TLT, 95%) = 12%",
)
