"""The prompt_echo metric; load it with `evaluate.load` and this folder's path."""
