"""What a model expects at each place of a reference answer, all read from one forward pass: the answer's own token, the
token that it holds most probable, and the end.

Teacher forced: each place is predicted from the prompt, in the model's own style, and the reference before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from transformers import PreTrainedModel

from pipelines.evaluation.prompts.prompt_rows import Response
from pipelines.evaluation.prompts.prompt_sets import Prompt
from pipelines.inference.log_probabilities import TokenSequence, scored_places
from pipelines.inference.processes import measured_by_all
from pipelines.inference.teacher_forcing import end_probability
from pipelines.modeling import LoadedModel, PromptStyle, render_reference, stop_token_ids

_OWN, _TOP, _HIT, _END = range(4)


@dataclass(frozen=True, eq=False)
class ReferenceScores:
    """A reference answer of n text tokens under a model.

    `log_probs` (shape [n]) are the natural log probabilities of its tokens, `confidences` (shape [n]) the probability
    of the most probable token at each place and `hits` (shape [n]) whether it is the reference's. `p_end` (shape
    [n + 1]) is the probability that the answer ends at each place: all of its end tokens together, the last entry
    behind the whole answer; None for a model without an end token.
    """

    log_probs: np.ndarray
    confidences: np.ndarray
    hits: np.ndarray
    p_end: np.ndarray | None

    @property
    def n_tokens(self) -> int:
        """Text tokens of the answer, the end not among them."""
        return len(self.log_probs)


def reference_scores(
    loaded: LoadedModel, prompts: Sequence[Prompt], style: PromptStyle, *, batch_size: int = 8
) -> list[ReferenceScores | None]:
    """The scores of each prompt's reference answer behind the prompt in `style`; None where there is none.

    A prompt that does not fit together with its answer is cut at its left, and an answer that does not fit alone is
    read in windows, as for its likelihood; but the place behind the answer must fit too. Raises `UserError` for a model
    that gives no numbers.
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
    # The token at the end only marks the place where the answer ends: no model reads it.
    return TokenSequence([*context, *text, int(loaded.tokenizer.eos_token_id or 0)], first_scored=len(context))


def _scores(loaded: LoadedModel, sequences: Sequence[TokenSequence], batch_size: int) -> list[ReferenceScores]:
    stops = stop_token_ids(loaded.tokenizer, cast(PreTrainedModel, loaded.model))

    def expectations(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        log_probs = logits.log_softmax(dim=-1)
        top = log_probs.max(dim=-1)
        own = log_probs.gather(1, targets[:, None])[:, 0]
        hits = (top.indices == targets).to(own.dtype)
        return torch.stack([own, top.values.exp(), hits, end_probability(log_probs, stops)], dim=1)

    tables = scored_places(loaded, sequences, expectations, batch_size=batch_size, measured_by=measured_by_all)
    return [
        ReferenceScores(
            log_probs=table[:-1, _OWN],
            confidences=table[:-1, _TOP],
            hits=table[:-1, _HIT] > 0,
            p_end=table[:, _END] if stops else None,
        )
        for table in tables
    ]
