"""Prompts: rows of a dataset folder or file, few-shot examples, given templates."""
