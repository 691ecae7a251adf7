"""Reproduction: what differs here from a lock, the locked run run again, and what came out of it compared."""
