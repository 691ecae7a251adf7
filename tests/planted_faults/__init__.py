"""Planted faults: pairs of recipe and rows with one fault each, and clean pairs, for the doctor and for others."""
