"""Run models over prompts, one after another: answers, likelihood of the reference, and the other likelihood scores."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.endpoint.client import Endpoint
from pipelines.errors import UserError
from pipelines.evaluation.likelihood.evaluation_data import EvaluationData
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood, response_likelihoods
from pipelines.evaluation.likelihood.likelihood_measures import LikelihoodScores, likelihood_scores
from pipelines.evaluation.prompts.few_shot import END_OF_ANSWER, FewShot, FewShotPool
from pipelines.evaluation.prompts.given_template import GivenTemplate, template_losses
from pipelines.evaluation.prompts.prompt import Prompt, are_plain_text
from pipelines.hub.model_names import Role, compared_names
from pipelines.hub.model_ref import ModelRef, resolve_compared
from pipelines.inference.answer_store import AnswerStore
from pipelines.inference.generation import Answer, SamplingPolicy, TokenChoice, generate_answers, token_choices_of
from pipelines.inference.loading import with_template_of
from pipelines.inference.processes import log, measured_by_all
from pipelines.inference.served_model import ServedModel, open_in_turn
from pipelines.modeling import LoadedModel, PromptStyle, load_tokenizer, render_prompt, template_sha256


@dataclass(frozen=True)
class DecodingPlan:
    """How each prompt is answered: greedily once and by `num_samples` seeded samples."""

    max_new_tokens: int = 256
    num_samples: int = 2
    temperature: float = 0.7
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise `UserError` for invalid values."""
        if self.num_samples < 0:
            raise UserError(f"num_samples is {self.num_samples}, expected 0 or more", "use --num_samples 0 for none")
        if self.num_samples and self.temperature <= 0:
            problem = f"temperature is {self.temperature:g}, expected above 0 for samples"
            raise UserError(problem, "raise it, or skip sampling with --num_samples 0")
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
class MeasurementPlan:
    """What is measured of each model, besides the likelihood of the reference answers. The first `n_token_choices`
    greedy answers keep the probability of each token. A `store` keeps finished answers, so that an interrupted
    measurement can be resumed. A `template` replaces the models' own. The models named in `engines` are asked there and
    not loaded: nothing that needs the likelihood of given text is measured of them."""

    decoding: DecodingPlan
    base_prompt_style: PromptStyle = PromptStyle.PLAIN
    dtype: str = "auto"
    batch_size: int = 32
    store: AnswerStore | None = None
    n_token_choices: int = 0
    template: GivenTemplate | None = None
    few_shot: FewShotPool = field(default_factory=lambda: FewShotPool(0))
    data: EvaluationData = field(default_factory=EvaluationData)
    engines: Mapping[str, Endpoint] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredModel:
    """The results of one model on the prompts; all lists are in their order.

    `template_sha256` is that of the prompts' chat template, None in other styles. `likelihoods` has for each measured
    prompt style one entry per prompt, None where there is no reference answer; `token_choices` the tokens of some
    greedy answers, by the prompt's index; `scores` cover counted prompts only. A model behind an `engine` has neither
    likelihoods nor scores.
    """

    name: str
    role: Role
    path: str
    fingerprint: str
    prompt_style: PromptStyle
    greedy: Sequence[Answer]
    samples: Sequence[Sequence[Answer]]
    likelihoods: Mapping[PromptStyle, Sequence[DocumentLikelihood | None]]
    token_choices: Mapping[int, Sequence[TokenChoice]] = field(default_factory=dict)
    template_sha256: str | None = None
    scores: LikelihoodScores | None = None
    computed_in: str | None = None
    few_shot: FewShot | None = None
    template_losses: Mapping[str, int] = field(default_factory=dict)
    engine: Mapping[str, Any] | None = None


class Measurement:
    """Measure one model after another on the same prompts; `seconds` has the wall time of each phase."""

    def __init__(self, prompts: Sequence[Prompt], plan: MeasurementPlan) -> None:
        self.prompts, self.plan = prompts, plan
        self.are_plain_text = are_plain_text(one.asked for one in prompts if one.counted)
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    def base(self, loaded: LoadedModel | ServedModel, template_of: ModelRef) -> MeasuredModel:
        """Measure a base; the likelihood of the reference also with the chat template of the model `template_of`."""
        if self.are_plain_text:
            return self._measure(loaded, Role.BASE, PromptStyle.RAW)
        if self.plan.base_prompt_style is PromptStyle.CHAT:
            loaded = self._with_template(loaded)
        if self.plan.base_prompt_style is PromptStyle.CHAT and not loaded.has_chat_template:
            problem = f"--base_prompt_style is {PromptStyle.CHAT.value}, but {loaded.path} has no chat template"
            raise UserError(problem, f"leave the flag out: a base gets {PromptStyle.PLAIN.value} prompts")
        measured = self._measure(loaded, Role.BASE, self.plan.base_prompt_style)
        if self.plan.base_prompt_style is PromptStyle.CHAT or isinstance(loaded, ServedModel):
            return measured
        tokenizer, given = load_tokenizer(*template_of.tokenizer_source), self.plan.template
        templated = with_template_of(loaded, given.on_tokenizer(tokenizer) if given else tokenizer)
        if templated is None:
            log("base: likelihood with plain prompts only (no template for its vocabulary)")
            return measured
        chat = _reference_likelihoods(templated, self.prompts, PromptStyle.CHAT)
        self._end_phase("base: likelihood, chat template")
        return replace(measured, likelihoods={**measured.likelihoods, PromptStyle.CHAT: chat})

    def few_shot_base(self, loaded: LoadedModel | ServedModel) -> MeasuredModel | None:
        """Measure the base after examples: greedy answers and likelihood of the reference. None without examples.
        Prompts are plain text, so they are given unchanged."""
        shots = self.plan.few_shot.examples_for(loaded)
        if shots is None:
            if self.plan.few_shot.n_wanted:
                log(f"no few-shot baseline: {self.plan.few_shot.why_not or 'no example fits into the base'}")
            return None
        greedy = replace(self.plan.decoding.greedy, stop_text=END_OF_ANSWER)
        prompts = [shots.asked(loaded, one, greedy.max_new_tokens) for one in self.prompts]
        loaded = replace(loaded, name=f"{loaded.name} ({len(shots.examples)}-shot)")
        likelihoods = {}
        if isinstance(loaded, ServedModel):
            found = loaded.answers([one.asked for one in prompts], PromptStyle.PLAIN, greedy, store=self.plan.store)[0]
        else:
            found = self._answers(loaded, self._rendered(loaded, prompts, PromptStyle.PLAIN), greedy)
            likelihoods = {PromptStyle.PLAIN: _reference_likelihoods(loaded, prompts, PromptStyle.PLAIN)}
        self._end_phase(f"{loaded.name}: greedy answers{' and likelihood' if likelihoods else ''}")
        return MeasuredModel(
            loaded.name, Role.FEW_SHOT_BASE, loaded.path, loaded.fingerprint, PromptStyle.PLAIN,
            [only for [only] in found], [], likelihoods, computed_in=loaded.computed_in, few_shot=shots,
            engine=loaded.engine if isinstance(loaded, ServedModel) else None,
        )  # fmt: skip

    def instruct(self, loaded: LoadedModel | ServedModel) -> MeasuredModel:
        """Measure an instruct model with its chat template or the plan's; with plain prompts if there is none."""
        if self.are_plain_text:
            return self._measure(loaded, Role.INSTRUCT, PromptStyle.RAW)
        loaded = self._with_template(loaded)
        if not loaded.has_chat_template:
            log(f"{loaded.name}: no chat template in {loaded.path}, so it gets plain prompts")
        return self._measure(loaded, Role.INSTRUCT, PromptStyle.CHAT if loaded.has_chat_template else PromptStyle.PLAIN)

    def _with_template(self, loaded: LoadedModel | ServedModel) -> LoadedModel | ServedModel:
        """The model with the plan's template, if there is one; a server has its own."""
        if self.plan.template is None or isinstance(loaded, ServedModel):
            return loaded
        return self.plan.template.on(loaded)

    def _measure(self, loaded: LoadedModel | ServedModel, role: Role, style: PromptStyle) -> MeasuredModel:
        plan, name = self.plan, loaded.name
        self._end_phase(f"{name}: load")
        losses = template_losses(loaded, [one.asked for one in self.prompts]) if style is PromptStyle.CHAT else {}
        if isinstance(loaded, ServedModel):
            return self._measure_served(loaded, role, style, losses)
        rendered = self._rendered(loaded, self.prompts, style)
        greedy = [only for [only] in self._answers(loaded, rendered, plan.decoding.greedy)]
        self._end_phase(f"{name}: greedy answers")
        samples: list[list[Answer]] = []
        if plan.decoding.sampled:
            samples = self._answers(loaded, rendered, plan.decoding.sampled)
            self._end_phase(f"{name}: sampled answers")
        shown = range(min(plan.n_token_choices, len(rendered)))
        choices = token_choices_of(loaded, [rendered[place] for place in shown], [greedy[place] for place in shown])
        likelihoods = {style: _reference_likelihoods(loaded, self.prompts, style)}
        self._end_phase(f"{name}: likelihood")
        counted = [prompt for prompt in self.prompts if prompt.counted]
        scores = likelihood_scores(loaded, counted, style, plan.data)
        self._end_phase(f"{name}: forgetting and memorization")
        sha256 = template_sha256(loaded.tokenizer) if style is PromptStyle.CHAT else None
        return MeasuredModel(
            name, role, loaded.path, loaded.fingerprint, style, greedy, samples, likelihoods,
            dict(zip(shown, choices, strict=True)), sha256, scores, loaded.computed_in, template_losses=losses,
        )  # fmt: skip

    def _measure_served(
        self, served: ServedModel, role: Role, style: PromptStyle, losses: Mapping[str, int]
    ) -> MeasuredModel:
        plan, asked = self.plan, [one.asked for one in self.prompts]
        greedy, choices = served.answers(
            asked, style, plan.decoding.greedy, store=plan.store, n_shown=plan.n_token_choices
        )
        self._end_phase(f"{served.name}: greedy answers of {served.engine['name']}")
        samples: list[list[Answer]] = []
        if plan.decoding.sampled:
            samples, _ = served.answers(asked, style, plan.decoding.sampled, store=plan.store)
            self._end_phase(f"{served.name}: sampled answers")
        sha256 = template_sha256(served.tokenizer) if style is PromptStyle.CHAT else None
        return MeasuredModel(
            served.name, role, served.path, served.fingerprint, style, [only for [only] in greedy], samples, {},
            {place: own for (place, _), own in choices.items()}, sha256, template_losses=losses, engine=served.engine,
        )  # fmt: skip

    def _rendered(self, loaded: LoadedModel, prompts: Sequence[Prompt], style: PromptStyle) -> list[list[int]]:
        return [render_prompt(loaded.tokenizer, one.asked, style) for one in prompts]

    def _answers(self, loaded: LoadedModel, rendered: list[list[int]], policy: SamplingPolicy) -> list[list[Answer]]:
        plan = self.plan
        return generate_answers(loaded, rendered, policy, batch_size=plan.batch_size, store=plan.store)

    def _end_phase(self, phase: str) -> None:
        """Record and print the wall time since the end of the phase before."""
        now = time.perf_counter()
        self.seconds[phase] = round(now - self._start, 3)
        self._start = now
        log(f"{phase} ({self.seconds[phase]:.1f} s)")


def measure_models(
    base: str, instructs: Sequence[str], prompts: Sequence[Prompt], plan: MeasurementPlan
) -> tuple[list[MeasuredModel], dict[str, float]]:
    """Measure the base, each of `instructs` (each base in memory once), and last the few-shot base if there is one.

    Returns the seconds of each phase too. Raises `UserError` for an adapter of another base, before anything is loaded.
    """
    compared = resolve_compared(base, instructs)
    measurement = Measurement(prompts, plan)
    measured: list[MeasuredModel] = []
    few_shot: MeasuredModel | None = None
    for loaded in open_in_turn(compared, compared_names(compared), plan.engines, dtype=plan.dtype):
        if measured:
            measured.append(measurement.instruct(loaded))
        else:
            measured.append(measurement.base(loaded, compared[1]))
            few_shot = measurement.few_shot_base(loaded)
    return [*measured, *([few_shot] if few_shot else [])], measurement.seconds


def prompt_formats(models: Sequence[MeasuredModel], plan: MeasurementPlan) -> dict[str, Any]:
    """The form of the prompts in comparison.json: the style of each model, its template, and a given one."""
    return {
        "style": {model.name: model.prompt_style.value for model in models},
        "template_sha256": {model.name: model.template_sha256 for model in models},
        "chat_template": plan.template.to_json() if plan.template else None,
        "lost_in_template": {model.name: dict(model.template_losses) for model in models if model.template_losses},
    }


def _reference_likelihoods(
    loaded: LoadedModel, prompts: Sequence[Prompt], style: PromptStyle
) -> list[DocumentLikelihood | None]:
    asked = {place: response for place, prompt in enumerate(prompts) if (response := prompt.response)}
    scores = response_likelihoods(loaded, list(asked.values()), style, measured_by=measured_by_all)
    found = dict(zip(asked, scores, strict=True))
    return [found.get(place) for place in range(len(prompts))]
