"""Rows of concepts.py, by room."""
