"""Scores of each token of a reference answer from one forward pass: its probability, the most probable token, P(end).

Teacher forcing: each position is predicted from the prompt, in the model's own style, and the reference before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from transformers import PreTrainedModel

from pipelines.evaluation.prompts.prompt import Prompt, Response
from pipelines.inference.log_probabilities import TokenSequence, scored_places
from pipelines.inference.processes import measured_by_all
from pipelines.modeling import LoadedModel, PromptStyle, render_reference, stop_token_ids


@dataclass(frozen=True, eq=False)
class ReferenceScores:
    """A reference answer of n text tokens under a model.

    `log_probs` (shape [n]) are the natural log probabilities of its tokens, `confidences` (shape [n]) the probability
    of the most probable token at each position and `hits` (shape [n]) whether that is the reference's. `p_end` (shape
    [n + 1]) is the probability that the answer ends at each position: all end tokens together, the last entry after the
    whole answer; None for a model without an end token.
    """

    log_probs: np.ndarray
    confidences: np.ndarray
    hits: np.ndarray
    p_end: np.ndarray | None

    @property
    def n_tokens(self) -> int:
        """Text tokens of the answer, without the end."""
        return len(self.log_probs)


def reference_scores(
    loaded: LoadedModel, prompts: Sequence[Prompt], style: PromptStyle, *, batch_size: int = 8
) -> list[ReferenceScores | None]:
    """Score each prompt's reference answer after the prompt in `style`; None where there is none.

    A prompt that does not fit together with its answer is cut at its left, and an answer that does not fit on its own
    is read in windows, as for its likelihood; but the position after the answer must fit too. Raises `UserError` for a
    model whose outputs are not finite.
    """
    sequences = {
        place: _sequence(loaded, response, style)
        for place, prompt in enumerate(prompts)
        if (response := prompt.response)
    }
    found = dict(zip(sequences, _scores(loaded, list(sequences.values()), batch_size), strict=True))
    return [one if (one := found.get(place)) and one.n_tokens else None for place in range(len(prompts))]


def _sequence(loaded: LoadedModel, one: Response, style: PromptStyle) -> TokenSequence:
    context, text = render_reference(loaded.tokenizer, one.asked, one.text, style, thought=one.thought)
    # The last token only marks the position where the answer ends: no model reads it.
    return TokenSequence([*context, *text, int(loaded.tokenizer.eos_token_id or 0)], first_scored=len(context))


def _scores(loaded: LoadedModel, sequences: Sequence[TokenSequence], batch_size: int) -> list[ReferenceScores]:
    stops = stop_token_ids(loaded.tokenizer, cast(PreTrainedModel, loaded.model))

    def columns(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        log_probs = logits.log_softmax(dim=-1)
        top = log_probs.max(dim=-1)
        known = [token_id for token_id in stops if token_id < logits.shape[-1]]
        p_end = log_probs[:, known].exp().sum(dim=-1)
        own = log_probs.gather(1, targets[:, None])[:, 0]
        return torch.stack([own, top.values.exp(), (top.indices == targets).to(own.dtype), p_end], dim=1)

    tables = scored_places(loaded, sequences, columns, batch_size=batch_size, measured_by=measured_by_all)
    return [
        ReferenceScores(table[:-1, 0], table[:-1, 1], table[:-1, 2] > 0, table[:, 3] if stops else None)
        for table in tables
    ]
