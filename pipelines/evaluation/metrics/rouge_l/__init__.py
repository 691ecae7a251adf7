"""The rouge_l metric; load it with `evaluate.load` and this folder's path."""
