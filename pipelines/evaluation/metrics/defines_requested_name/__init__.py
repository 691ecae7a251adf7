"""The defines_requested_name metric; load it with `evaluate.load` and this folder's path."""
