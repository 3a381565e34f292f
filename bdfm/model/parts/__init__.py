"""Parts of the model, one module per slot; each part is a frozen, validated record.

A part's fields are what its TOML table may set. ``params`` is the only method that creates PyMC
variables; every other method is an equation written with operators that NumPy and PyTensor share, so that
the fitted density and the simulated forecast cannot drift apart.
"""
