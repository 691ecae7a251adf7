"""The token_f1 metric; load it with `evaluate.load` and this folder's path."""
