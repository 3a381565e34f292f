"""A joint forecast as weighted draws, and the edits, views and ranks that work on it."""
