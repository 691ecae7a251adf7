"""The takes_requested_parameters metric; load it with `evaluate.load` and this folder's path."""
