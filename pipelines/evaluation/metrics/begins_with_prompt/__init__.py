"""The begins_with_prompt metric; load it with `evaluate.load` and this folder's path."""
