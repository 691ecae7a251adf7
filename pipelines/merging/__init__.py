"""Merge adapters into their base, and prove that the merged model is the same model."""
