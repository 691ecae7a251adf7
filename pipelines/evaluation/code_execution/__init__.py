"""Run the Python of answers in a sandbox (bubblewrap) and count what passes its tests."""
