"""Run standard benchmarks with lm-evaluation-harness (extra `benchmarks`)."""
