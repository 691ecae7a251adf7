"""Teacher forcing: logits of given answers, from a model that may be in the middle of its training."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

IGNORED = -100  # the label of a token that is not in the loss, as in torch and transformers
_N_LOGITS_AT_ONCE = 1 << 26  # 256 MiB in float32; a longer row is computed alone


@dataclass(frozen=True)
class AnswerRow:
    """A row with its labeled tokens: `labels` at `places`, the end token last."""

    token_ids: list[int]
    places: list[int]
    labels: list[int]

    @classmethod
    def of(cls, row: Mapping[str, list[int]]) -> "AnswerRow":
        """Read the columns `input_ids` and `labels`; a row's first token is never predicted."""
        places = [place for place, label in enumerate(row["labels"]) if label != IGNORED and place > 0]
        return cls(list(row["input_ids"]), places, [row["labels"][place] for place in places])

    @property
    def end(self) -> int:
        """The token that ends the answer."""
        return self.labels[-1]


def end_probability(log_probs: torch.Tensor, end_ids: Sequence[int]) -> torch.Tensor:
    """P(end), shape [n]: the probability of all `end_ids` together, from log-probabilities of shape [n, vocabulary]."""
    known = [token_id for token_id in end_ids if token_id < log_probs.shape[-1]]
    return log_probs[:, known].exp().sum(dim=-1)


def end_probabilities(model: Any, rows: Sequence[AnswerRow]) -> tuple[list[float], list[float]]:
    """P(end token | text before) at the end of each row's answer, and at the places where an answer continues. A place
    inside that is labeled with the end token too (an earlier turn's end) is in neither list."""
    at_end: list[float] = []
    inside: list[float] = []
    for row, logits in answer_logits(model, rows):
        *before, last = end_probability(logits.log_softmax(dim=-1), [row.end]).tolist()
        at_end.append(last)
        inside += [p for p, label in zip(before, row.labels[:-1], strict=True) if label != row.end]
    return at_end, inside


def answer_logits(model: Any, rows: Sequence[AnswerRow]) -> Iterator[tuple[AnswerRow, torch.Tensor]]:
    """Each row with the logits (float32, shape [places, vocabulary]) that predict its labels, in the order given. A
    batch holds as many rows as fit into 256 MiB of logits."""
    n_words = int(model.config.get_text_config().vocab_size)
    batch: list[AnswerRow] = []
    for row in rows:
        longest = max(len(one.token_ids) for one in [*batch, row])
        if batch and (len(batch) + 1) * longest * n_words > _N_LOGITS_AT_ONCE:
            yield from _logits_of_batch(model, batch)
            batch = []
        batch.append(row)
    if batch:
        yield from _logits_of_batch(model, batch)


def _logits_of_batch(model: Any, batch: Sequence[AnswerRow]) -> Iterator[tuple[AnswerRow, torch.Tensor]]:
    device, longest = next(model.parameters()).device, max(len(row.token_ids) for row in batch)
    ids = torch.tensor([row.token_ids + [0] * (longest - len(row.token_ids)) for row in batch], device=device)
    predicted_at = [(number, place - 1) for number, row in enumerate(batch) for place in row.places]
    rows, places = torch.tensor(predicted_at, dtype=torch.long).reshape(-1, 2).T
    with head_only_at(model, rows, places) as logits_of:  # no token attends to the padding on its right: no mask
        logits = logits_of(model(input_ids=ids, use_cache=False).logits)
    yield from zip(batch, (one.float() for one in logits.split([len(row.places) for row in batch])), strict=True)


@contextmanager
def head_only_at(
    model: Any, rows: torch.Tensor, places: torch.Tensor
) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """Compute the model's head at `rows` and `places` (shape [n]) alone. Yields a function that takes the logits of the
    model's output to those of the places (shape [n, vocabulary]), also for a model without a separate head."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if head is None:
        yield lambda logits: logits[rows, places]
        return
    hook = head.register_forward_pre_hook(lambda _, given: (given[0][rows, places][None], *given[1:]))
    try:
        # a model that multiplies by the head's weight itself never calls it: its logits have every position
        yield lambda logits: logits[0] if logits.shape[:2] == (1, len(rows)) else logits[rows, places]
    finally:
        hook.remove()


@contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """Evaluation mode; restores each module's mode and the random state of Python, NumPy and torch at the end."""
    modes = [(module, module.training) for module in model.modules()]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_initialized() else []):
        try:
            model.eval()
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            for module, mode in modes:
                module.training = mode
