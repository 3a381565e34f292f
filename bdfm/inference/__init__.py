"""Inference: start values, samplers, identified quantities, alignment, diagnostics."""
