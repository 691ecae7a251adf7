"""The trained model and its base in transformers, in float32: answers, and what rounding their weights would change."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.hub.model_ref import ModelRef, resolve_model, value_in_records
from pipelines.hub.pulling import local_copy
from pipelines.inference.generation import Answer, SamplingPolicy, generate_answers
from pipelines.inference.loading import load_for_inference, with_template_of
from pipelines.inference.processes import log
from pipelines.inference.shared_base import merged_copy
from pipelines.inference.teacher_forcing import AnswerRow, answer_logits
from pipelines.modeling import LoadedModel, load_tokenizer

_BLOCK = 32  # weights that share a scale, as in GGUF's Q8_0 and Q4_0


def base_of(model: ModelRef) -> ModelRef | None:
    """The base that a run or a merged model was made from, None where no record names one, or it is not here."""
    if model.adapter is not None:
        return ModelRef(model.base, None, model.revision)
    folder = local_copy(model.base).folder
    merged = read_json(folder / "merge.json") if (folder / "merge.json").is_file() else {}
    name = (merged.get("base") or value_in_records(model.base, "base")).get("name_or_path")
    if not name:
        return None
    try:
        found = resolve_model(str(name))
    except UserError:
        return None
    return None if Path(found.path).resolve() == folder.resolve() else found


def adapter_of(model: ModelRef) -> ModelRef | None:
    """The adapter on its base that a run is, or that a merged model was made from; None without one, or if it is not
    here."""
    if model.adapter is not None:
        return model
    file = local_copy(model.base).folder / "merge.json"
    record = read_json(file) if file.is_file() else {}
    adapters = record.get("adapters") or []
    try:
        return (
            resolve_model(record["base"]["name_or_path"], adapters[0]["name_or_path"]) if len(adapters) == 1 else None
        )
    except UserError:
        return None


def load_trained(model: ModelRef) -> LoadedModel:
    """Load the trained model in float32."""
    return load_for_inference(model, name="trained", dtype="float32")


def load_base(base: ModelRef, model: ModelRef) -> LoadedModel | None:
    """Load the base in float32 with the trained model's tokenizer and template; None if its token ids are others."""
    return with_template_of(
        load_for_inference(base, name="base", dtype="float32"), load_tokenizer(*model.tokenizer_source)
    )


def greedy(loaded: LoadedModel, prompts: Sequence[list[int]], max_new_tokens: int) -> list[Answer]:
    """Return the greedy answer to each prompt."""
    log(f"answering {len(prompts)} prompts with the {loaded.name} model")
    policy = SamplingPolicy(max_new_tokens=max_new_tokens)
    return [answers[0] for answers in generate_answers(loaded, prompts, policy)]


@dataclass(frozen=True)
class Rounding:
    """What rounding the weights to `bits` changes at the trained model's own answers: the mean KL in nats a token, and
    the largest change of the margin between its token and the best rival."""

    bits: int
    kl_mean: float
    margin: float


@torch.inference_mode()
def effects_of_rounding(loaded: LoadedModel, prompts: Sequence[list[int]], answers: Sequence[Answer]) -> list[Rounding]:
    """Round the weights to 16, 8 and 4 bits, in place, and return what each changes: the least that an engine of that
    precision does."""
    log("rounding the weights, to see what that changes")
    model = (merged_copy(loaded.model) if isinstance(loaded.model, PeftModel) else None) or loaded.model
    weights = [one for one in cast(torch.nn.Module, model).parameters() if one.ndim == 2]
    rows = [_row(*one) for one in zip(prompts, answers, strict=True) if one[1].token_ids]
    before = [logits.log_softmax(dim=-1).cpu() for _, logits in answer_logits(model, rows)]
    own = [torch.tensor(one.labels)[:, None] for one in rows]
    found = []
    for bits in (16, 8, 4):
        for weight in weights:
            weight.copy_(round_weight(weight, bits))
        kls, margins = [], []
        for one, token, (_, logits) in zip(before, own, answer_logits(model, rows), strict=True):
            other = logits.log_softmax(dim=-1).cpu()
            kls.append((one.exp() * (one - other)).sum(dim=-1))
            margins.append((_margins(one, token) - _margins(other, token)).abs())
        found.append(Rounding(bits, float(torch.cat(kls).mean()), float(torch.cat(margins).max())))
    return found


def left_out(loaded: LoadedModel) -> Iterator[str]:
    """Take one part of the adapter after the other out of a model, and yield its name meanwhile: the matrices of each
    kind of module, those of each layer, then the rows of new tokens. For engines that apply an adapter in part."""
    modules = cast(torch.nn.Module, loaded.model).named_modules()
    kinds: dict[str, list[LoraLayer]] = {}
    numbered: dict[str, list[LoraLayer]] = {}
    rows: list[TrainableTokensLayer] = []
    for name, module in modules:
        if isinstance(module, LoraLayer):
            kinds.setdefault(name.rpartition(".")[2], []).append(module)
            if number := re.search(r"\.(\d+)\.", name):
                numbered.setdefault(f"layer {number[1]}", []).append(module)
        elif isinstance(module, TrainableTokensLayer):
            rows.append(module)
    for kind, layers in (kinds | numbered).items():
        scales = [dict(one.scaling) for one in layers]
        for one in layers:
            one.scaling = dict.fromkeys(one.scaling, 0.0)
        yield kind
        for one, scale in zip(layers, scales, strict=True):
            one.scaling = scale
    if rows:
        for layer in rows:
            for adapter, trained in layer.trainable_tokens_delta.items():
                trained.data = layer.trainable_tokens_original[adapter].data
        yield "the rows of new tokens"


def _margins(logprobs: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    rivals = logprobs.scatter(1, tokens, -torch.inf).amax(dim=-1)
    return logprobs.gather(1, tokens)[:, 0] - rivals


def _row(prompt: list[int], answer: Answer) -> AnswerRow:
    ids = list(answer.token_ids)
    return AnswerRow([*prompt, *ids], list(range(len(prompt), len(prompt) + len(ids))), ids)


def round_weight(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Round to bfloat16, or to whole numbers of `bits` with a scale for each block."""
    if bits == 16:
        return weight.bfloat16().to(weight.dtype)
    padding = -weight.numel() % _BLOCK
    blocks = torch.nn.functional.pad(weight.flatten(), (0, padding)).view(-1, _BLOCK)
    scale = blocks.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / (2 ** (bits - 1) - 1)
    return ((blocks / scale).round() * scale).flatten()[: weight.numel()].view_as(weight)


@torch.inference_mode()
def next_logprobs(loaded: LoadedModel, contexts: Sequence[list[int]]) -> list[torch.Tensor]:
    """Return the log-probabilities of the token after each context, shape [vocabulary]."""
    rows = [AnswerRow([*one, 0], [len(one)], [0]) for one in contexts]
    return [logits[0].log_softmax(dim=-1).cpu() for _, logits in answer_logits(loaded.model, rows)]
