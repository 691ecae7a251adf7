"""Let another model, behind an OpenAI-compatible endpoint, judge which of two answers is better."""
