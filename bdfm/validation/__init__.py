"""Validation of risk models."""
