"""The prompts that the page shows: every answer with its checks, what flipped against the base, and what fits."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.conversation import Message, content_text
from pipelines.files.visible_text import Excerpt, excerpt, one_line
from pipelines.hub.local_paths import without_local_paths
from pipelines.report.answers.answer_diff import AnswerDiff, answer_diff
from pipelines.report.answers.answer_tokens import ShownToken, shown_tokens
from pipelines.report.answers.badges import Badge, flag_badges, other_facts
from pipelines.report.comparison_record import Better, Comparison, Measure, Model
from pipelines.report.figures import number_text

EXTRA = "extra"
MAX_PROMPTS = 1_000
MAX_PAGE_CHARACTERS = 4_000_000
MAX_PAGE_TOKENS = 10_000  # tokens shown with their probabilities: each takes some 120 bytes of the page
# Characters shown of a greedy answer and of a sampled one: the first pair that keeps under MAX_PAGE_CHARACTERS is used.
CUTS = ((4_000, 1_500), (2_000, 500), (1_000, 200), (500, 0))
MIN_CONTEXT_CHARACTERS = 300  # shown of each message before the request
_CODE_CHECKS = ("parses", "defines_requested_name", "takes_requested_parameters")


@dataclass(frozen=True)
class ShownAnswer:
    """One answer as the page shows it; `tokens` only where their probabilities are on record."""

    excerpt: Excerpt
    badges: tuple[Badge, ...]
    facts: tuple[str, ...]
    is_code: bool
    stopped: bool
    tokens: tuple[ShownToken, ...] = ()
    n_tokens_hidden: int = 0


@dataclass(frozen=True)
class ModelAnswers:
    """What one model answered to one prompt; `greedy` is None where the record has no answer of it.

    `improved` and `worsened` name the checks that flipped against the base; baselines have none of the last four.
    """

    model: str
    greedy: ShownAnswer | None
    samples: tuple[ShownAnswer, ...]
    improved: tuple[str, ...] = ()
    worsened: tuple[str, ...] = ()
    diff: AnswerDiff | None = None
    judgement: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Prompt:
    """One prompt with all answers to it, the base's first; `context` has (role, text) of each message before the
    request, `first_compared` the place of the first instruct model in `answers`."""

    id: Any
    title: str
    context: tuple[tuple[str, Excerpt], ...]
    instruction: Excerpt
    input: Excerpt
    reference: Excerpt | None
    is_code: bool
    is_extra: bool
    category: str
    answers: tuple[ModelAnswers, ...]
    first_compared: int

    @property
    def has_tokens(self) -> bool:
        """Whether an answer is shown by token."""
        return any(given.greedy is not None and given.greedy.tokens for given in self.answers)

    @property
    def n_improved(self) -> int:
        """Checks on which the first model that is compared with the base is better."""
        return len(self.answers[self.first_compared].improved)

    @property
    def n_worsened(self) -> int:
        """Checks on which the first model that is compared with the base is worse."""
        return len(self.answers[self.first_compared].worsened)


def shown_prompts(rows: Sequence[Mapping[str, Any]], comparison: Comparison) -> list[Prompt]:
    """The prompts of responses.jsonl, extra ones first, at most MAX_PROMPTS."""
    ordered = sorted(rows, key=lambda row: row.get("category") != EXTRA)[:MAX_PROMPTS]
    cuts = next((cuts for cuts in CUTS if _n_characters(ordered, *cuts) <= MAX_PAGE_CHARACTERS), CUTS[-1])
    prompts, n_tokens = [], 0
    for row in ordered:
        n_tokens += sum(len(recorded["greedy"].get("tokens") or ()) for recorded in row["answers"].values())
        prompts.append(_prompt(row, comparison, *cuts, has_tokens=n_tokens <= MAX_PAGE_TOKENS))
    return prompts


def flipped(comparison: Comparison, model: Model, row_id: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(improved, worsened): the checks that flipped on a prompt, each told by what is now so.

    A fault that is gained is worse; a check without a good direction is in neither.
    """
    improved: list[str] = []
    worsened: list[str] = []
    for measure in comparison.measures:
        gained, lost = model.flips.get(measure.name, (frozenset(), frozenset()))
        is_higher_better = measure.better is Better.HIGHER
        if measure.better is not Better.NEITHER and row_id in gained:
            (improved if is_higher_better else worsened).append(measure.full_label)
        if measure.better is not Better.NEITHER and row_id in lost:
            (worsened if is_higher_better else improved).append(f"not: {measure.full_label}")
    return tuple(improved), tuple(worsened)


def _prompt(
    row: Mapping[str, Any], comparison: Comparison, max_greedy: int, max_sample: int, *, has_tokens: bool
) -> Prompt:
    answers = row["answers"]
    is_code = bool(row.get("requested")) or any(
        recorded["greedy"]["checks"].get(name) is not None for recorded in answers.values() for name in _CODE_CHECKS
    )
    return Prompt(
        id=row["id"],
        title=one_line(row["instruction"], 160),
        context=tuple(_context(row.get("messages") or (), max_sample)),
        instruction=excerpt(row["instruction"], max_greedy),
        input=excerpt(row.get("input") or "", max_greedy),
        reference=excerpt(row["reference"], max_greedy) if row.get("reference") else None,
        is_code=is_code,
        is_extra=row.get("category") == EXTRA,
        category=one_line(without_local_paths(row.get("category") or ""), 80),
        answers=tuple(
            _model_answers(row, comparison, number, is_code, max_greedy, max_sample, has_tokens)
            for number in range(len(comparison.models))
        ),
        first_compared=comparison.n_baselines,
    )


def _context(messages: Sequence[Message], max_characters: int) -> Iterator[tuple[str, Excerpt]]:
    """What comes before the last message, which is the request itself."""
    for message in messages[:-1]:
        calls = [json.dumps(call, ensure_ascii=False) for call in message.get("tool_calls") or ()]
        text = "\n".join(filter(None, [content_text(message), *calls]))
        yield one_line(str(message["role"]), 40), excerpt(text, max(max_characters, MIN_CONTEXT_CHARACTERS))


def _model_answers(
    row: Mapping[str, Any],
    comparison: Comparison,
    number: int,
    is_code: bool,
    max_greedy: int,
    max_sample: int,
    has_tokens: bool,
) -> ModelAnswers:
    model, measures = comparison.models[number].name, comparison.measures
    recorded, base = row["answers"].get(model), row["answers"].get(comparison.base.name)
    if recorded is None:
        return ModelAnswers(model, None, ())
    bits = recorded.get("response_bits_per_byte")
    more = () if bits is None else (f"reference at {number_text(bits, 3)} bits per byte",)
    tokens = shown_tokens(recorded["greedy"].get("tokens") or ()) if has_tokens else ()
    greedy = _shown(recorded["greedy"], measures, is_code, max_greedy, more, tokens)
    samples = tuple(_shown(one, measures, is_code, max_sample) for one in recorded["samples"] if max_sample)
    if number < comparison.n_baselines:
        return ModelAnswers(model, greedy, samples)
    texts = [one["greedy"]["text"] for one in (base, recorded) if one is not None]
    has_diff = len(texts) == 2 and max(map(len, texts)) <= max_greedy  # both answers are shown whole
    return ModelAnswers(
        model,
        greedy,
        samples,
        *flipped(comparison, comparison.models[number], row["id"]),
        diff=answer_diff(*texts, by_line=is_code) if has_diff else None,
        judgement=_judgement((row.get("judgements") or {}).get(model)),
    )


def _shown(
    answer: Mapping[str, Any],
    measures: Sequence[Measure],
    is_code: bool,
    max_characters: int,
    more: Sequence[str] = (),
    tokens: tuple[ShownToken, ...] = (),
) -> ShownAnswer:
    shown = excerpt(answer["text"], max_characters)
    greedy = [measure for measure in measures if measure.decoding != "sampled"]
    return ShownAnswer(
        excerpt=shown,
        badges=tuple(flag_badges(answer, greedy)),
        facts=(*other_facts(answer, greedy), *more),
        is_code=is_code and not shown.has_long_lines,
        stopped=bool(answer["stopped"]),
        tokens=tokens,
        n_tokens_hidden=len(answer.get("tokens") or ()) - len(tokens) if tokens else 0,
    )


def _judgement(record: Mapping[str, Any] | None) -> dict[str, str] | None:
    """The judge's verdict against the base's answer, in words."""
    if not record:
        return None
    orders = {"base first": record.get("base_first"), "instruct first": record.get("instruct_first")}
    return {
        "verdict": str(record.get("verdict") or "no verdict"),
        "orders": ", ".join(f"{order}: {found or 'no answer'}" for order, found in orders.items()),
        "reason": one_line(str(record.get("reason") or ""), 500),
    }


def _n_characters(rows: Iterable[Mapping[str, Any]], max_greedy: int, max_sample: int) -> int:
    total = 0
    for row in rows:
        fixed = (row["instruction"], row.get("input") or "", row.get("reference") or "")
        total += sum(len(text.text) for _, text in _context(row.get("messages") or (), max_sample))
        total += sum(min(len(text), max_greedy) for text in fixed)
        for recorded in row["answers"].values():
            total += min(len(recorded["greedy"]["text"]), max_greedy)
            # a short answer is there a second time, in the difference from the base's
            total += len(recorded["greedy"]["text"]) if len(recorded["greedy"]["text"]) <= max_greedy else 0
            total += sum(min(len(sample["text"]), max_sample) for sample in recorded["samples"])
    return total
