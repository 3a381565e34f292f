"""A month from its file to its folder of results, and the page about it."""
