"""The constraints_followed metric; load it with `evaluate.load` and this folder's path."""
