"""A conversation as a chat template writes it: how its messages are spelled, where a turn begins and ends, what is lost."""
