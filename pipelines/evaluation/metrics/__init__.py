"""Local `evaluate` modules, one folder each: `evaluate.load(folder)` needs no network."""
