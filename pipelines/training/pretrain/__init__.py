"""Pretraining: from scratch or continued, on raw text."""
