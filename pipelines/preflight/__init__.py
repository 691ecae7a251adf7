"""Preflight: checks of a recipe, its rows and its model before the first step (the doctor)."""
