"""Posterior draws of a fit: what they say, checks against the data, pictures."""
