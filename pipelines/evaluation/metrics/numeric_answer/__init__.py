"""The numeric_answer metric; load it with `evaluate.load` and this folder's path."""
