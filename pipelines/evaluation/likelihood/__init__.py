"""Likelihood: bits per byte, P(end), calibration, forgetting and memorization."""
