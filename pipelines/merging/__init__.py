"""Adapters into their base, proven to have become the same model."""
