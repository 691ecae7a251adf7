"""Perplexity and bits per byte of documents: what the `evaluate` module of metrics/perplexity computes."""

import math
from collections.abc import Sequence
from typing import Any

from pipelines.evaluation.statistics.intervals import bootstrap_ratio
from pipelines.evaluation.statistics.row_groups import Groups


def perplexity_figures(
    nll_nats: Sequence[float],
    n_tokens: Sequence[int],
    n_bytes: Sequence[int],
    groups: Groups | None = None,
    seed: int = 0,
    n_resamples: int = 10_000,
) -> dict[str, Any]:
    """The figures over all documents together; the module's docstring describes arguments and result."""
    nats_per_token = bootstrap_ratio(nll_nats, n_tokens, groups=groups, seed=seed, n_resamples=n_resamples)
    bits = [nats / math.log(2) for nats in nll_nats]
    bits_per_byte = bootstrap_ratio(bits, n_bytes, groups=groups, seed=seed, n_resamples=n_resamples)
    return {
        "perplexity": math.exp(nats_per_token.value),
        "bits_per_byte": bits_per_byte.value,
        "nll_nats": math.fsum(nll_nats),
        "n_documents": len(nll_nats),
        **{name: value for name, value in bits_per_byte.to_json().items() if "groups" in name},
        "n_tokens": sum(n_tokens),
        "n_bytes": sum(n_bytes),
        "ci95": {
            "perplexity": [math.exp(bound) for bound in nats_per_token.ci95],
            "bits_per_byte": list(bits_per_byte.ci95),
        },
    }
