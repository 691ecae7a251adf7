"""The ends_in_loop metric; load it with `evaluate.load` and this folder's path."""
