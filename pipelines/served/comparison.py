"""Hold an endpoint against a trained model: ask once, compare from the prompt to the weights, name the cause.

What comes first explains what comes later: another template or tokenizer changes every answer. So answers and
log-probabilities are compared on the trained prompts only. Where the endpoint's own prompts differ, or it does not show
them, it is asked again past its template, with the trained prompts as token ids or as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.completion import Completion
from pipelines.errors import UserError
from pipelines.hub.model_ref import ModelRef
from pipelines.inference.generation import Answer
from pipelines.inference.processes import log
from pipelines.modeling import LoadedModel, load_tokenizer
from pipelines.modeling.loading import load_config
from pipelines.served.answers import Kind, Pair, Served, compare_answers, end_tokens
from pipelines.served.asking import Observed, continue_prompts, observe
from pipelines.served.checks import Check, TokenCheck, check_counts, check_rendered, check_tokens, counts_shift_equally
from pipelines.served.distributions import Divergence, Told, divergence, own_logprobs, spellings, told_by
from pipelines.served.findings import (
    MAX_KL,
    TIE,
    Cause,
    Finding,
    Missing,
    ending_findings,
    text_finding,
    tokenization_findings,
    weight_finding,
)
from pipelines.served.questions import Questions, read_questions
from pipelines.served.texts import probe_texts
from pipelines.served.trained import (
    Rounding,
    adapter_of,
    base_of,
    effects_of_rounding,
    greedy,
    left_out,
    load_base,
    load_trained,
)


@dataclass(frozen=True)
class Plan:
    """What is compared: at most `n_prompts` of `prompts` (None: of the run), greedy answers of `max_new_tokens`."""

    prompts: Path | None = None
    split: str = "test"
    n_prompts: int = 35
    max_new_tokens: int = 64
    seed: int = 0


@dataclass
class Comparison:
    """What was found. `pairs` is None if the endpoint's prompts are others and it takes no given ones, `divergence` if
    it tells no log-probabilities; `bits` a weight has if it tells them; `n_as_base` of `n_apart` answers that differ
    between the models are the base's."""

    questions: Questions
    engine: str
    base: ModelRef | None
    checks: list[Check] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    pairs: list[Pair] | None = None
    divergence: Divergence | None = None
    roundings: list[Rounding] = field(default_factory=list)
    n_as_base: int | None = None
    n_apart: int | None = None
    n_ties: int = 0
    bits: float | None = None

    @property
    def is_same(self) -> bool:
        """Whether the trained model is served; notes are allowed."""
        return all(one.is_note for one in self.findings)


@dataclass(frozen=True)
class _Answers:
    """The served answers to the trained prompts; `are_like` says which have the trained text (see `Served.is_like`)."""

    each: list[Served]
    are_like: list[bool]

    @property
    def tells(self) -> list[Told]:
        """What all answers tell; empty if one of them tells nothing."""
        found = [one.told for one in self.each if one.told is not None]
        return [one for one in found if one.token_ids] if len(found) == len(self.each) else []


def compare_served(endpoint: Endpoint, model: ModelRef, plan: Plan) -> Comparison:
    """Compare the endpoint with the trained model. Raises `UserError` as `observe` and for a model that cannot be
    loaded."""
    tokenizer = load_tokenizer(*model.tokenizer_source)
    positions = getattr(load_config(model.base, model.revision).get_text_config(), "max_position_embeddings", None)
    room = None if positions is None else positions - plan.max_new_tokens
    questions = read_questions(
        tokenizer, model.path, plan.prompts, plan.split, limit=plan.n_prompts, seed=plan.seed, n_positions=room
    )
    base = base_of(model)
    texts = probe_texts(_special_tokens(tokenizer))
    observed = observe(
        endpoint, questions.asked, texts, plan.max_new_tokens, lambda text: len(tokenizer(text)["input_ids"])
    )
    found = Comparison(questions, observed.engine, base, bits=endpoint.bits_per_weight())
    tokens = check_tokens(texts, observed, tokenizer, base and load_tokenizer(*base.tokenizer_source))
    _compare_prompts(found, observed, tokens, tokenizer)
    loaded = load_trained(model)
    answers = greedy(loaded, [one.token_ids for one in questions.asked], plan.max_new_tokens)
    served = _on_trained_prompts(endpoint, found, observed, answers, plan, loaded)
    if served is None:
        return found
    _compare_answers(found, loaded, answers, served, plan)
    if found.pairs and (any(one.kind is Kind.OTHER for one in found.pairs) or _is_off(found.divergence)):
        _compare_weights(found, loaded, model, answers, served, plan)
    elif found.pairs:
        found.findings += ending_findings(found.pairs)
    return found


def _compare_prompts(found: Comparison, observed: Observed, tokens: TokenCheck | None, tokenizer: Any) -> None:
    asked = found.questions.asked
    rendered = check_rendered(asked, observed, tokenizer)
    counts = check_counts(asked, observed)
    found.checks += [one for one in (rendered, counts, tokens.check if tokens else None) if one is not None]
    shift = counts_shift_equally(asked, observed)
    found.findings += tokenization_findings(rendered, counts, tokens, shift_equally=shift)
    if observed.answers is None:
        found.findings.insert(0, Finding(Cause.TEMPLATE, f"the endpoint answers no chat: {observed.refusal}"))
    if tokens is not None and tokens.is_bases:
        said = "the endpoint splits texts as the base's tokenizer does, which lacks tokens of the trained one"
        found.findings.append(Finding(Cause.NOT_APPLIED, said))


def _on_trained_prompts(
    endpoint: Endpoint,
    found: Comparison,
    observed: Observed,
    answers: Sequence[Answer],
    plan: Plan,
    loaded: LoadedModel,
) -> _Answers | None:
    """Return the served answers to the trained prompts: those of the chats if their prompts are the trained ones."""
    asked, ids, ends = found.questions.asked, spellings(loaded.tokenizer), end_tokens(loaded)

    def of(served: list[Completion]) -> _Answers:
        each = [
            Served.of(one, told_by(one, q.token_ids, ids, own.token_ids, q.group), loaded.tokenizer, ends)
            for one, q, own in zip(served, asked, answers, strict=True)
        ]
        special = [str(one) for one in loaded.tokenizer.all_special_tokens]
        return _Answers(each, [one.is_like(own, special) for one, own in zip(each, answers, strict=True)])

    through = of(observed.answers) if observed.answers else None
    is_shown = observed.rendered is not None or not found.questions.are_chats
    if through and found.is_same:
        same = [one.text == own.text for one, own in zip(through.each, answers, strict=True)]
        if is_shown or all(same):
            return through
    given = continue_prompts(endpoint, asked, plan.max_new_tokens)
    if given is None and observed.answers is None:
        problem = f"{endpoint.host} answers neither chats nor completions: {observed.refusal}"
        raise UserError(problem, "correct --url, or see what the server logs")
    if given is None or through is None or not found.is_same:
        return of(given) if given is not None else through if found.is_same else None
    past = of(given)
    n_past, n_through = sum(past.are_like), sum(through.are_like)
    if n_past > n_through:
        said = f"{n_past} answers to the trained prompts are as trained, {n_through} through the endpoint's template"
        found.findings.append(Finding(Cause.TEMPLATE, said))
    return through if n_past <= n_through and through.tells and not past.tells else past


def _compare_answers(
    found: Comparison, loaded: LoadedModel, answers: Sequence[Answer], served: _Answers, plan: Plan
) -> None:
    prompts = [one.token_ids for one in found.questions.asked]
    found.pairs = compare_answers(loaded, prompts, answers, served.each, plan.max_new_tokens)
    if served.tells:
        found.divergence = divergence(served.tells, own_logprobs(loaded, served.tells))
    tie = TIE + 2 * (found.divergence.max_difference if found.divergence and not _is_off(found.divergence) else 0.0)
    found.n_ties = sum(one.kind is Kind.OTHER and one.gap is not None and one.gap <= tie for one in found.pairs)
    same_texts = sum(one.kind not in (Kind.OTHER, Kind.SPACE) for one in found.pairs)
    found.checks.append(Check("greedy answers", same_texts, len(found.pairs)))
    same_ends = sum(one.kind is Kind.EQUAL for one in found.pairs)
    found.checks.append(Check("and their ends", same_ends, same_texts))


def _compare_weights(
    found: Comparison, loaded: LoadedModel, model: ModelRef, answers: Sequence[Answer], served: _Answers, plan: Plan
) -> None:
    """Add what explains other log-probabilities or texts."""
    assert found.pairs is not None
    others = [one for one in found.pairs if one.kind is Kind.OTHER]
    if not _is_off(found.divergence) and len(others) == found.n_ties:
        found.findings += ending_findings(found.pairs)
        return
    trained = own_logprobs(loaded, served.tells)
    if found.divergence is not None and not _is_off(found.divergence):
        found.findings += ending_findings(found.pairs)
        said = (
            f"{len(others) - found.n_ties} answers take a token that is not the likeliest by the endpoint's own figures"
        )
        found.findings.append(Finding(Cause.SAMPLING, said))
        return
    base = load_base(found.base, model) if found.base is not None else None
    if base is not None:
        _compare_base(found, base, answers, served, trained, plan)
    found.roundings = effects_of_rounding(loaded, [one.token_ids for one in found.questions.asked], answers)
    if found.divergence is not None:
        missing = missing_part(model, served.tells, found.divergence.kl_mean)
        finding = weight_finding(found.divergence, found.roundings, missing, found.bits)
    else:
        finding = text_finding(found.pairs, found.roundings, found.n_as_base or 0, found.n_apart or 0)
    endings = ending_findings(found.pairs)
    if finding is None or finding.is_note or not endings:
        found.findings += endings
    if finding is not None and all(one.cause is not finding.cause for one in found.findings):
        found.findings.append(finding)


def _compare_base(
    found: Comparison, base: LoadedModel, answers: Sequence[Answer], served: _Answers, trained: Any, plan: Plan
) -> None:
    texts = [one.text for one in greedy(base, [one.token_ids for one in found.questions.asked], plan.max_new_tokens)]
    apart = [n for n, (one, other) in enumerate(zip(texts, answers, strict=True)) if one != other.text]
    found.n_apart, found.n_as_base = len(apart), sum(served.each[n].text == texts[n] for n in apart)
    if served.tells:
        found.divergence = divergence(served.tells, trained, own_logprobs(base, served.tells))


def missing_part(model: ModelRef, told: list[Told], kl_mean: float) -> Missing | None:
    """Return the first part of the adapter that explains the KL by its absence, else the one without which the trained
    model is closest to what was told."""
    adapter = adapter_of(model)
    if adapter is None:
        return None
    loaded = load_trained(adapter)
    log("leaving out one part of the adapter after the other")
    closest: Missing | None = None
    for part in left_out(loaded):
        found = Missing(part, divergence(told, own_logprobs(loaded, told)).kl_mean)
        closest = min((one for one in (closest, found) if one is not None), key=lambda one: one.kl_mean)
        if closest.explains(kl_mean):
            break
    return closest


def _is_off(found: Divergence | None) -> bool:
    return found is not None and found.kl_mean > MAX_KL


def _special_tokens(tokenizer: Any) -> list[str]:
    return [str(one) for one in tokenizer.all_special_tokens][:8]
