"""Doubts: what in the contents of tables looks wrong, as named rules that every door passes through."""
