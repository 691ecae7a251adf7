"""The n_tokens metric; load it with `evaluate.load` and this folder's path."""
