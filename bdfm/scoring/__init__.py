"""Proper scores, the rules of M6, and calibration of forecasts against what came."""
