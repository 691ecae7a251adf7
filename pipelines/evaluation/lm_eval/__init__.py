"""Standard benchmarks by lm-evaluation-harness (extra `benchmarks`): its tasks, our models, paired differences."""
