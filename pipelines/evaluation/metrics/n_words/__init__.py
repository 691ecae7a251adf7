"""The n_words metric; load it with `evaluate.load` and this folder's path."""
