r"""Which cause check_served.py names for a trained adapter that is changed in a known way.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.evaluation.served_causes --run build/quickstart/instruct

No server: the changed model itself tells its greedy answers and its 10 likeliest tokens at each place, as an engine
would. Prints Markdown rows: the change, equal answers, the KL from the trained model, the share of the way to the base
and how straight it is, and the verdict.
"""

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import torch

from pipelines.hub.model_ref import ModelRef, resolve_model
from pipelines.inference.generation import Answer
from pipelines.inference.teacher_forcing import AnswerRow, answer_logits
from pipelines.modeling import LoadedModel
from pipelines.served.asking import N_LOGPROBS
from pipelines.served.comparison import missing_part
from pipelines.served.distributions import Told, divergence, own_logprobs
from pipelines.served.findings import weight_finding
from pipelines.served.questions import read_questions
from pipelines.served.trained import base_of, effects_of_rounding, greedy, load_base, load_trained, round_weight


def lora_b(name: str, factor: float) -> Callable[[Any], None]:
    """Multiply the B matrices of the layers of `name`."""

    def change(model: Any) -> None:
        for key, weight in model.named_parameters():
            if name in key and "lora_B" in key:
                weight.mul_(factor)

    return change


def rounded(bits: int) -> Callable[[Any], None]:
    """Round all matrices to `bits`."""

    def change(model: Any) -> None:
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(round_weight(weight, bits))

    return change


CHANGES = {
    **{f"without {kind}": lora_b(kind, 0.0) for kind in ("q_proj", "k_proj", "v_proj", "o_proj", "down_proj")},
    "without layer 3": lora_b("layers.3.", 0.0),
    "without q_proj, in 8 bits": lambda model: (lora_b("q_proj", 0.0)(model), rounded(8)(model)),
    **{f"in {bits} bits": rounded(bits) for bits in (16, 8, 4)},
    "half of lora_alpha": lora_b("", 0.5),
    "0.9 of lora_alpha": lora_b("", 0.9),
    "without LoRA": lora_b("", 0.0),
}


@torch.inference_mode()
def told_by_itself(loaded: LoadedModel, prompts: list[list[int]], answers: list[Answer]) -> list[Told]:
    """What an endpoint that serves `loaded` tells of its answers."""
    told = []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = list(answer.token_ids)
        row = AnswerRow([*prompt, *ids], list(range(len(prompt), len(prompt) + len(ids))), ids)
        (_, logits), *_ = answer_logits(loaded.model, [row])
        values, tokens = logits.double().log_softmax(-1).topk(N_LOGPROBS)
        tops = [dict(zip(*one, strict=True)) for one in zip(tokens.tolist(), values.tolist(), strict=True)]
        told.append(Told(prompt, ids, tops))
    return told


def changed(model: ModelRef, change: Callable[[Any], Any]) -> LoadedModel:
    """The trained model after `change`."""
    loaded = load_trained(model)
    with torch.no_grad():
        change(loaded.model)
    return loaded


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--run", required=True)
    flags.add_argument("--limit", type=int, default=16)
    given = flags.parse_args()
    warnings.simplefilter("ignore")
    model = resolve_model(given.run)
    trained, base = load_trained(model), base_of(model)
    asked = read_questions(
        trained.tokenizer, given.run, None, "test", limit=given.limit, seed=0, n_positions=None
    ).asked
    prompts = [one.token_ids for one in asked]
    answers = greedy(trained, prompts, 64)
    roundings = effects_of_rounding(load_trained(model), prompts, answers)
    other = load_base(base, model) if base else None
    print(*(f"rounding to {one.bits} bits: KL {one.kl_mean:.1e}" for one in roundings), sep="; ")
    for name, change in CHANGES.items():
        loaded = changed(model, change)
        found = greedy(loaded, prompts, 64)
        told = told_by_itself(loaded, prompts, found)
        seen = divergence(told, own_logprobs(trained, told), own_logprobs(other, told) if other else None)
        finding = weight_finding(seen, roundings, missing_part(model, told, seen.kl_mean))
        equal = sum(one.text == own.text for one, own in zip(found, answers, strict=True))
        way = f"{seen.from_trained:.2f} | {seen.toward_base:.2f}" if seen.from_trained is not None else "– | –"
        cause = finding.cause if finding else "same"
        print(f"| {name} | {equal} of {len(asked)} | {seen.kl_mean:.1e} | {way} | {cause} |")


if __name__ == "__main__":
    main()
