"""The follows_all_constraints metric; load it with `evaluate.load` and this folder's path."""
