"""pass@k: how probable it is that at least one of k samples of an answer passes all tests."""

import math

from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition


def pass_at_k(n: int, c: int, k: int) -> float:
    """The unbiased estimate from `n` samples of which `c` passed: 1 - C(n - c, k) / C(n, k), in [0, 1].

    M. Chen et al., Evaluating Large Language Models Trained on Code (arXiv:2107.03374, 2021), equation 1. Raises
    `ValueError` unless 0 <= c <= n and 1 <= k <= n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n = {n}, c = {c}, k = {k}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def pass_at_k_definition(k: int) -> MetricDefinition:
    """The metric pass@k for one k."""
    return MetricDefinition(
        f"pass_at_{k}",
        f"pass@{k}",
        "share",
        "higher",
        f"probability that at least one of {k} sampled answers passes all tests, estimated without bias",
        Group.EXECUTION,
        is_flag=True,
    )
