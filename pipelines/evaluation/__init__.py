"""Measuring models: likelihood, perplexity, generation, response checks, statistics. Import from the submodules."""
