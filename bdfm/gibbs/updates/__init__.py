"""Conditional updates of the sampler, one block a file; ``docs/sampler.md`` has their densities (eq. S1 ...).

Each is a function of (rng, data, state, scratch) that changes its block of the state in place. Its docstring
names its equation, what it reads, what it changes, and what it keeps current for others.
"""
