"""Running models over prompts, one in memory at a time: answers, and the likelihood of the reference answers."""

import gc
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.generation import Answer, SamplingPolicy, generate_answers
from pipelines.evaluation.likelihood import DocumentLikelihood, response_likelihoods
from pipelines.evaluation.model_choice import behind_template_of, refuse_other_base
from pipelines.evaluation.prompts import Prompt
from pipelines.modeling import (
    LoadedModel,
    PromptStyle,
    load_for_inference,
    load_tokenizer,
    render_prompt,
)
from pipelines.modeling.loading import is_adapter


class Role(StrEnum):
    """What a model is in a comparison."""

    BASE = "base"
    INSTRUCT = "instruct"


@dataclass(frozen=True)
class DecodingPlan:
    """How each prompt is answered: greedily once and, unless `num_samples` is 0, by so many seeded samples."""

    max_new_tokens: int = 256
    num_samples: int = 2
    temperature: float = 0.7
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `UserError` for values no decoding can follow."""
        if self.num_samples < 0 or (self.num_samples and self.temperature <= 0):
            raise UserError(
                expected="num_samples of 0 or more and, for samples, a temperature above 0",
                got=f"num_samples {self.num_samples}, temperature {self.temperature:g}",
                remedy="raise the temperature, or leave sampling out with --num_samples 0",
            )
        _ = self.greedy, self.sampled

    @property
    def greedy(self) -> SamplingPolicy:
        """The policy of the greedy answer."""
        return SamplingPolicy(seed=self.seed, max_new_tokens=self.max_new_tokens)

    @property
    def sampled(self) -> SamplingPolicy | None:
        """The policy of the samples, None without any."""
        if self.num_samples == 0:
            return None
        return SamplingPolicy(self.temperature, self.top_p, self.num_samples, self.seed, self.max_new_tokens)

    def to_json(self) -> dict[str, Any]:
        """`decoding` in comparison.json."""
        sampled = {"temperature": self.temperature, "top_p": self.top_p, "num_samples": self.num_samples}
        greedy = {"temperature": 0.0, "num_samples": 1}
        return {"max_new_tokens": self.max_new_tokens, "seed": self.seed, "greedy": greedy, "sampled": sampled}


@dataclass(frozen=True)
class MeasuredModel:
    """What one model did with the prompts; all lists are in their order.

    `likelihoods` holds for each measured prompt style one entry a prompt, None where there is no reference answer.
    """

    name: str
    role: Role
    path: str
    fingerprint: str
    prompt_style: PromptStyle
    greedy: Sequence[Answer]
    samples: Sequence[Sequence[Answer]]
    likelihoods: Mapping[PromptStyle, Sequence[DocumentLikelihood | None]]


class Measurement:
    """The same prompts put to one model after another; `seconds` has the wall time of each phase, told on stderr."""

    def __init__(self, prompts: Sequence[Prompt], plan: DecodingPlan, batch_size: int = 32) -> None:
        self.prompts, self.plan, self.batch_size = prompts, plan, batch_size
        self.seconds: dict[str, float] = {}

    def base(self, path: str, template_of: str) -> MeasuredModel:
        """A base with plain prompts; the likelihood of the reference also behind the chat template of `template_of`."""
        with self._phase("base: load"):
            loaded = load_for_inference(path, name=Role.BASE.value)
        measured = self._measure(loaded, Role.BASE, PromptStyle.PLAIN)
        templated = _with_template_of(loaded, template_of)
        if templated is None:
            return measured
        with self._phase("base: likelihood, chat template"):
            chat = _reference_likelihoods(templated, self.prompts, PromptStyle.CHAT)
        return replace(measured, likelihoods={**measured.likelihoods, PromptStyle.CHAT: chat})

    def instruct(self, path: str, base: str, name: str = Role.INSTRUCT.value) -> MeasuredModel:
        """An instruct model, or an adapter of `base`, with its chat template; with plain prompts if it has none."""
        adapter = path if is_adapter(path) else None
        with self._phase(f"{name}: load"):
            loaded = load_for_inference(base if adapter else path, adapter, name=name)
        if not loaded.has_chat_template:
            print(f"{name}: no chat template in {path}, so it gets plain prompts", file=sys.stderr)
        return self._measure(loaded, Role.INSTRUCT, PromptStyle.CHAT if loaded.has_chat_template else PromptStyle.PLAIN)

    def _measure(self, loaded: LoadedModel, role: Role, style: PromptStyle) -> MeasuredModel:
        rendered = [render_prompt(loaded.tokenizer, one.instruction, one.input, style) for one in self.prompts]
        samples: list[list[Answer]] = []
        with self._phase(f"{loaded.name}: greedy answers"):
            greedy = generate_answers(loaded, rendered, self.plan.greedy, batch_size=self.batch_size)
        if self.plan.sampled:
            with self._phase(f"{loaded.name}: sampled answers"):
                samples = generate_answers(loaded, rendered, self.plan.sampled, batch_size=self.batch_size)
        with self._phase(f"{loaded.name}: likelihood"):
            likelihoods = {style: _reference_likelihoods(loaded, self.prompts, style)}
        answers = [only for [only] in greedy]
        return MeasuredModel(loaded.name, role, loaded.path, loaded.fingerprint, style, answers, samples, likelihoods)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)
        print(f"{name} ({self.seconds[name]:.1f} s)", file=sys.stderr)


def measure_models(
    base: str, instructs: Sequence[str], prompts: Sequence[Prompt], plan: DecodingPlan, *, batch_size: int = 32
) -> tuple[list[MeasuredModel], dict[str, float]]:
    """The base, then each of `instructs`, one in memory at a time; and the seconds that each phase took.

    Raises `UserError` for an adapter that was trained on another base, before anything is loaded.
    """
    for instruct in instructs:
        refuse_other_base(instruct, base)
    measurement = Measurement(prompts, plan, batch_size)
    measured = [measurement.base(base, template_of=instructs[0])]
    for name, path in zip(_names(instructs), instructs, strict=True):
        gc.collect()  # the model before this one
        measured.append(measurement.instruct(path, base, name))
    return measured, measurement.seconds


def _reference_likelihoods(
    loaded: LoadedModel, prompts: Sequence[Prompt], style: PromptStyle
) -> list[DocumentLikelihood | None]:
    rows = {
        place: {"instruction": prompt.instruction, "input": prompt.input, "output": prompt.reference}
        for place, prompt in enumerate(prompts)
        if prompt.reference
    }
    found = dict(zip(rows, response_likelihoods(loaded, list(rows.values()), style), strict=True))
    return [found.get(place) for place in range(len(prompts))]


def _with_template_of(base: LoadedModel, instruct: str) -> LoadedModel | None:
    """The base behind the instruct model's tokenizer and chat template, None (told on stderr) where it cannot be."""
    holds_tokenizer = not is_adapter(instruct) or (Path(instruct) / "tokenizer_config.json").is_file()
    templated = behind_template_of(base, load_tokenizer(instruct) if holds_tokenizer else base.tokenizer)
    if templated is None:
        print("base: likelihood with plain prompts only (no template for its vocabulary)", file=sys.stderr)
    return templated


def _names(instructs: Sequence[str]) -> list[str]:
    """Names for the records: "instruct", or of several each its folder's name, numbered where two would be alike."""
    if len(instructs) == 1:
        return [Role.INSTRUCT.value]
    names: list[str] = []
    for number, path in enumerate(instructs, start=1):
        name = Path(path).name or Role.INSTRUCT.value
        names.append(name if name not in {Role.BASE.value, *names} else f"{name}_{number}")
    return names
