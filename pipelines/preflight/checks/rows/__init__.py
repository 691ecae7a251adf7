"""Checks of the rows as they are written."""
