"""Perplexity and bits per byte of documents whose log-likelihood is known: a local `evaluate` module.

    metric = evaluate.load("pipelines/evaluation/metrics/perplexity")
    metric.compute(nll_nats=[310.2, 95.0], n_tokens=[120, 40], n_bytes=[500, 160])

It takes sums for each document, not logits: padding and prompt are already excluded.
"""

from typing import Any

import datasets
import evaluate

from pipelines.evaluation.perplexity.figures import perplexity_figures

_DESCRIPTION = """
Over all documents together, never as a mean of batch or document means:
    perplexity     exp(sum of nll_nats / sum of n_tokens)
    bits_per_byte  sum of nll_nats / (ln 2 * sum of n_bytes)
Perplexity counts by token and compares models of one tokenizer only. Bits per byte are the length of the best code for
the text under the model, in bits for each UTF-8 byte, and compare any two models on the same text.
ci95 is the percentile bootstrap over documents; a percentile interval carries over from nats to perplexity by exp.
"""

_CITATION = """
F. Jelinek, R. L. Mercer, L. R. Bahl, J. K. Baker: Perplexity, a measure of the difficulty of speech recognition tasks.
Journal of the Acoustical Society of America 62, S63 (1977).
L. Gao et al.: The Pile: An 800GB Dataset of Diverse Text for Language Modeling, section 3.1, bits per UTF-8 byte
(arXiv:2101.00027, 2020).
"""

_INPUTS = """
Args:
    nll_nats: negative log-likelihood of each document in nats, summed over its scored tokens.
    n_tokens: scored tokens of each document, at least 1.
    n_bytes: UTF-8 bytes of those tokens, at least 1.
    groups: a label for each document; documents of one label are resampled together (default: each alone).
    seed, n_resamples: of the bootstrap.
Returns:
    perplexity, bits_per_byte, nll_nats, n_documents, n_groups (with effective_groups and too_few_groups as in all
    records), n_tokens, n_bytes, ci95 (low and high for perplexity and bits_per_byte).
    Raises ValueError below two documents.
"""


class Perplexity(evaluate.Metric):
    """The metric that `evaluate.load` finds in this file."""

    def _info(self) -> evaluate.MetricInfo:
        columns = {"nll_nats": "float64", "n_tokens": "int64", "n_bytes": "int64"}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({name: datasets.Value(dtype) for name, dtype in columns.items()}),
        )

    def _compute(
        self, nll_nats: list[float], n_tokens: list[int], n_bytes: list[int], **options: Any
    ) -> dict[str, Any]:
        return perplexity_figures(nll_nats, n_tokens, n_bytes, **options)
