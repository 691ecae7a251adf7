"""Perplexity of documents, texts and minimal pairs."""
