"""Cleaning steps: each rejects a row with a reason, or changes it with a count."""
