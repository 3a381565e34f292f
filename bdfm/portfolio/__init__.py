"""What to hold given a forecast: decisions, and the risk of a portfolio."""
