"""Callbacks: logging, samples, throughput, checkpoint upload."""
