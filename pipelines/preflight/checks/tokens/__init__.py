"""Checks of the rows as the trainer sees them: tokens, labels, template."""
