"""Prompts with the answers of every model: badges, what changed against the base, and what fits on one page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.report.figures import Unit, number_text, value_text
from pipelines.report.visible_text import Excerpt, excerpt, one_line, visible

EXTRA = "extra"
MAX_PROMPTS = 1_000
MAX_PAGE_CHARACTERS = 3_000_000
# Characters shown of a greedy answer and of a sampled one: the first pair that keeps under MAX_PAGE_CHARACTERS is used.
CUTS = ((4_000, 1_500), (2_000, 500), (1_000, 200), (500, 0))


class Outcome(StrEnum):
    """How the checks of a model's greedy answer stand against the base's on one prompt."""

    IMPROVED = "improved"
    WORSE = "worse"
    MIXED = "mixed"
    SAME = "no change"


@dataclass(frozen=True)
class Badge:
    """A fact about one answer; `passed` is None where it is neither good nor bad."""

    text: str
    passed: bool | None


@dataclass(frozen=True)
class ShownAnswer:
    """One answer as the page shows it."""

    excerpt: Excerpt
    badges: tuple[Badge, ...]
    is_code: bool


@dataclass(frozen=True)
class ModelAnswers:
    """What one model answered to one prompt; `greedy` is None where the record has no answer of it."""

    model: str
    greedy: ShownAnswer | None
    samples: tuple[ShownAnswer, ...]


@dataclass(frozen=True)
class Prompt:
    """One prompt with all answers to it. `outcome` compares the first model that is not the base with the base."""

    id: Any
    title: str
    instruction: Excerpt
    input: Excerpt
    reference: Excerpt | None
    is_code: bool
    is_extra: bool
    category: str
    outcome: Outcome
    checks_passed: str
    did_not_stop: bool
    answers: tuple[ModelAnswers, ...]

    @property
    def tags(self) -> str:
        """Words that the page's filter looks for, separated by spaces."""
        return " ".join([self.outcome.name.lower(), *(["unstopped"] if self.did_not_stop else [])])


# metric: (words where the check passes, words where it fails)
_WORDS = {
    "stopped_by_itself": ("stopped by itself", "did not stop by itself"),
    "parses": ("parses", "does not parse"),
    "defines_requested_name": ("defines the name", "does not define the name"),
    "takes_requested_parameters": ("takes the parameters", "does not take the parameters"),
}
_CODE_CHECKS = ("parses", "defines_requested_name", "takes_requested_parameters")


def shown_prompts(rows: Sequence[Mapping[str, Any]], models: Sequence[str]) -> list[Prompt]:
    """The prompts of responses.jsonl, extra ones first, at most MAX_PROMPTS; `models` names the columns, base first."""
    ordered = sorted(rows, key=lambda row: row.get("category") != EXTRA)[:MAX_PROMPTS]
    cuts = next((cuts for cuts in CUTS if _n_characters(ordered, *cuts) <= MAX_PAGE_CHARACTERS), CUTS[-1])
    return [_prompt(row, models, *cuts) for row in ordered]


def outcome_of(base: Mapping[str, Any], other: Mapping[str, Any]) -> Outcome:
    """Compare the yes/no checks of two answers; a check that is missing or null on a side does not count."""
    before, after = checks_of(base), checks_of(other)
    shared = [name for name in before if name in after]
    gained = any(after[name] and not before[name] for name in shared)
    lost = any(before[name] and not after[name] for name in shared)
    return {(True, False): Outcome.IMPROVED, (False, True): Outcome.WORSE, (True, True): Outcome.MIXED}.get(
        (gained, lost), Outcome.SAME
    )


def _checks_passed(base: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """ "1 → 4 of 4": the checks that the base and the other model pass, of those that both were given."""
    before, after = checks_of(base), checks_of(other)
    shared = [name for name in before if name in after]
    return f"{sum(before[name] for name in shared)} → {sum(after[name] for name in shared)} of {len(shared)}"


def checks_of(answer: Mapping[str, Any]) -> dict[str, bool]:
    """The yes/no checks of an answer, stopping by itself among them."""
    checks = {name: value for name, value in answer["checks"].items() if isinstance(value, bool)}
    return {"stopped_by_itself": bool(answer["stopped"])} | checks


def _prompt(row: Mapping[str, Any], models: Sequence[str], max_greedy: int, max_sample: int) -> Prompt:
    answers = row["answers"]
    is_code = bool(row.get("requested")) or any(
        recorded["greedy"]["checks"].get(name) is not None for recorded in answers.values() for name in _CODE_CHECKS
    )
    both = len(models) > 1 and models[0] in answers and models[1] in answers
    greedy = [answers[model]["greedy"] for model in models[:2]] if both else []
    return Prompt(
        id=row["id"],
        title=one_line(row["instruction"], 160),
        instruction=excerpt(row["instruction"], max_greedy),
        input=excerpt(row.get("input") or "", max_greedy),
        reference=excerpt(row["reference"], max_greedy) if row.get("reference") else None,
        is_code=is_code,
        is_extra=row.get("category") == EXTRA,
        category=visible(row.get("category") or ""),
        outcome=outcome_of(*greedy) if greedy else Outcome.SAME,
        checks_passed=_checks_passed(*greedy) if greedy else "",
        did_not_stop=bool(greedy) and not greedy[1]["stopped"],
        answers=tuple(_model_answers(answers.get(model), model, is_code, max_greedy, max_sample) for model in models),
    )


def _model_answers(
    recorded: Mapping[str, Any] | None, model: str, is_code: bool, max_greedy: int, max_sample: int
) -> ModelAnswers:
    if recorded is None:
        return ModelAnswers(model, None, ())
    bits = recorded.get("response_bits_per_byte")
    extra = [] if bits is None else [Badge(f"reference at {number_text(bits, 3)} bits per byte", None)]
    samples = recorded["samples"] if max_sample else ()
    return ModelAnswers(
        model,
        _shown(recorded["greedy"], is_code, max_greedy, extra),
        tuple(_shown(sample, is_code, max_sample) for sample in samples),
    )


def _shown(answer: Mapping[str, Any], is_code: bool, max_characters: int, extra: Iterable[Badge] = ()) -> ShownAnswer:
    n_tokens = answer["n_tokens"]
    badges = [_check_badge(name, passed) for name, passed in checks_of(answer).items()]
    badges.append(Badge(f"{n_tokens:,} token{'' if n_tokens == 1 else 's'}", None))
    repetition = answer["checks"].get("repetition")
    if repetition:
        badges.append(Badge(f"repetition {value_text(repetition, Unit.SHARE)}", None))
    shown = excerpt(answer["text"], max_characters)
    return ShownAnswer(shown, (*badges, *extra), is_code and not shown.has_long_lines)


def _check_badge(name: str, passed: bool) -> Badge:
    words = _WORDS.get(name, (name.replace("_", " "), f"not: {name.replace('_', ' ')}"))
    return Badge(words[0] if passed else words[1], passed)


def _n_characters(rows: Iterable[Mapping[str, Any]], max_greedy: int, max_sample: int) -> int:
    total = 0
    for row in rows:
        fixed = (row["instruction"], row.get("input") or "", row.get("reference") or "")
        total += sum(min(len(text), max_greedy) for text in fixed)
        for recorded in row["answers"].values():
            total += min(len(recorded["greedy"]["text"]), max_greedy)
            total += sum(min(len(sample["text"]), max_sample) for sample in recorded["samples"])
    return total
