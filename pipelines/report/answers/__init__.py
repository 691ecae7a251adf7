"""The prompts of a comparison with every answer."""
