"""Build a dataset folder from sources: read and clean in all processes, choose rows, write. Memory stays constant."""
