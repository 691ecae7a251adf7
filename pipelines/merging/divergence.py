"""How far two models' logits are from each other over the same tokens."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file


@dataclass(frozen=True)
class Divergence:
    """Figures over `n_tokens` positions, each of which predicts a token.

    `kl` is KL(reference || other) in nats a token, `top1_agreement` the share of positions with the same first token,
    `max_logit_difference` the largest absolute difference of one logit.
    """

    n_tokens: int
    kl_mean: float
    kl_max: float
    max_logit_difference: float
    top1_agreement: float

    def to_json(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def divergence(reference: Path, other: Path, n_rows: int) -> Divergence:
    """Between the logits that `write_logits` wrote to two folders, row by row, in float64.

    A vocabulary of another size is an infinite divergence, and so are logits that are not numbers.
    """
    sums, worst, difference, agreed, n_tokens = 0.0, 0.0, 0.0, 0, 0
    for number in range(n_rows):
        one, two = (load_file(folder / f"{number}.safetensors")["logits"].double() for folder in (reference, other))
        if one.shape != two.shape or not (one.isfinite().all() and two.isfinite().all()):
            return Divergence(n_tokens, torch.inf, torch.inf, torch.inf, 0.0)
        log_one, log_two = one.log_softmax(-1), two.log_softmax(-1)
        kl = (log_one.exp() * (log_one - log_two)).sum(-1).clamp(min=0)  # rounding can make it -1e-17
        sums, worst = sums + float(kl.sum()), max(worst, float(kl.max()))
        difference = max(difference, float((one - two).abs().max()))
        agreed += int((one.argmax(-1) == two.argmax(-1)).sum())
        n_tokens += len(one)
    return Divergence(n_tokens, sums / n_tokens, worst, difference, agreed / n_tokens)
