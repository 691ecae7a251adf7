"""A conversation as a chat template writes it: its messages, where each turn begins and ends, and what is lost."""
