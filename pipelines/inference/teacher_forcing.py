"""Teacher forcing: logits of given answers, from a model that may be in the middle of its training."""

import inspect
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft import PeftModel

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
    mask = torch.tensor([[1] * len(r.token_ids) + [0] * (longest - len(r.token_ids)) for r in batch], device=device)
    kept = sorted({place - 1 for row in batch for place in row.places})  # a token is predicted one place before it
    column = {place: number for number, place in enumerate(kept)}
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    keeps = "logits_to_keep" in inspect.signature(type(base).forward).parameters
    only = {"logits_to_keep": torch.tensor(kept, device=device)} if keeps else {}
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **only).logits
    logits = logits if keeps else logits[:, kept]
    for number, row in enumerate(batch):
        yield row, logits[number, [column[place - 1] for place in row.places]].float()


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
