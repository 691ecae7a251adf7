"""Log-probabilities that an endpoint told, next to a model's own at the same places."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipelines.endpoint.completion import Completion, TokenLogprob
from pipelines.evaluation.statistics.intervals import bootstrap_ratio
from pipelines.inference.teacher_forcing import AnswerRow, answer_logits
from pipelines.modeling import LoadedModel
from pipelines.modeling.chat.alignment import n_equal

_LEAST = -50.0  # engines write -9999 for a probability of 0


@dataclass(frozen=True)
class Told:
    """What an endpoint told of one answer, or of its beginning: the chosen token ids after a prompt, and at each place
    the log-probabilities of the likeliest tokens by id. Answers of one `group` depend on each other; None is a group of
    its own. `is_whole` unless tokens were left out."""

    prompt: list[int]
    token_ids: list[int]
    top: list[dict[int, float]]
    group: Hashable = None
    is_whole: bool = True


@dataclass(frozen=True)
class Divergence:
    """KL(trained || served) in nats over `n_places`: its mean with the 95% interval, which resamples the `n_groups`
    groups of answers whole (None for a single answer), and its largest value; and the largest difference of one token's
    log-probability among tokens with a probability above 1%. `from_trained` is how far the endpoint is from the trained
    model toward its base (0 trained, 1 base), `toward_base` how straight (a correlation); None without a base."""

    n_places: int
    kl_mean: float
    kl_max: float
    max_difference: float
    from_trained: float | None = None
    toward_base: float | None = None
    kl_ci95: tuple[float, float] | None = None
    n_groups: int = 1


def told_by(
    completion: Completion,
    prompt: Sequence[int],
    ids: dict[bytes, int],
    own: Sequence[int] = (),
    group: Hashable = None,
) -> Told | None:
    """Return what an answer tells, None without log-probabilities or with a token that has no id. `ids` has the token
    of each spelling, for engines that tell bytes only. Where tokens are left out, only the places count that the
    trained model's `own` answer is certain to come before."""
    if not completion.logprobs:
        return None
    tops = completion.top_logprobs or [[] for _ in completion.logprobs]
    token_ids, found = [], []
    for chosen, top in zip(completion.logprobs, tops, strict=False):
        pairs = [(_id(one, ids), one.logprob) for one in [*top, chosen]]
        known = {token: value for token, value in pairs if token is not None and value > _LEAST}
        best = max(top, key=lambda one: one.logprob, default=chosen)  # mlx-lm's chosen one is any of the likeliest
        number = _id(best if best.logprob > chosen.logprob and chosen in top else chosen, ids)
        if number is None or not known:
            return None
        token_ids.append(number)
        found.append(known)
    n_certain = len(token_ids) if completion.tells_each_token else n_equal(own, token_ids)
    return Told(list(prompt), token_ids[:n_certain], found[:n_certain], group, completion.tells_each_token)


def spellings(tokenizer: Any) -> dict[bytes, int]:
    """Return the token id of each text that one token alone decodes to."""
    texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))], clean_up_tokenization_spaces=False)
    found: dict[bytes, int | None] = {}
    for number, text in enumerate(texts):
        key = text.encode()
        found[key] = None if key in found else number
    return {key: number for key, number in found.items() if number is not None}


@torch.inference_mode()
def own_logprobs(loaded: LoadedModel, told: Sequence[Told]) -> list[list[dict[int, float]]]:
    """Return the model's log-probabilities of the same tokens at the same places, after the endpoint's own tokens."""
    rows = [
        AnswerRow(
            [*one.prompt, *one.token_ids],
            list(range(len(one.prompt), len(one.prompt) + len(one.token_ids))),
            one.token_ids,
        )
        for one in told
    ]
    found = []
    for one, (_, logits) in zip(told, answer_logits(loaded.model, rows), strict=True):
        table = logits.double().log_softmax(dim=-1).cpu()
        n_words = table.shape[-1]
        found.append(
            [
                {i: float(row[i]) if i < n_words else _LEAST for i in top}
                for top, row in zip(one.top, table, strict=True)
            ]
        )
    return found


def divergence(
    told: Sequence[Told], trained: list[list[dict[int, float]]], base: list[list[dict[int, float]]] | None = None
) -> Divergence:
    """Compare what was told with the trained model, and with the direction to its base.

    The KL is over the tokens that the endpoint told and the rest as one, so it is a lower bound of the KL over the
    vocabulary, which grows with the number of tokens told.
    """
    kls: list[list[float]] = [[] for _ in told]
    differences, products = [0.0], np.zeros(3)
    for number, one in enumerate(told):
        for place, top in enumerate(one.top):
            q = np.array(list(top.values()))
            p = np.array([trained[number][place][token] for token in top])
            kls[number].append(_kl(p, q))
            differences += list(np.abs(p - q)[p > np.log(0.01)])
            if base is not None:
                to_base = np.array([base[number][place][token] for token in top]) - p
                moved, weight = q - p, np.exp(p)
                products += (weight * moved * to_base).sum(), (weight * to_base**2).sum(), (weight * moved**2).sum()
    along, possible, moved_by = products
    each = np.concatenate(kls)
    groups = [number if one.group is None else one.group for number, one in enumerate(told) if one.top]
    sums = [(sum(one), len(one)) for one in kls if one]
    return Divergence(
        len(each),
        float(each.mean()),
        float(each.max()),
        float(max(differences)),
        float(along / possible) if possible > 0 else None,
        float(along / np.sqrt(possible * moved_by)) if possible > 0 and moved_by > 0 else None,
        bootstrap_ratio(*zip(*sums, strict=True), groups=groups).ci95 if len(sums) > 1 else None,
        len(set(groups)),
    )


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) from log-probabilities of some tokens; the others are one more."""
    rest_p, rest_q = (max(1e-12, 1 - float(np.exp(one).sum())) for one in (p, q))
    return max(0.0, float((np.exp(p) * (p - q)).sum() + rest_p * np.log(rest_p / rest_q)))


def _id(one: TokenLogprob, ids: dict[bytes, int]) -> int | None:
    if one.id is not None:
        return one.id
    return ids.get(one.token if isinstance(one.token, bytes) else one.token.encode())
