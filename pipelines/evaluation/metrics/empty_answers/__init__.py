"""The empty_answers metric; load it with `evaluate.load` and this folder's path."""
