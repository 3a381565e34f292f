"""The model: parts in named slots, their equations, and the PyMC form that defines its density."""
