"""The doctor's own page, and findings in a report."""
