"""What the page opens with: the record's own sentence on each model, and the effects that a reader asks for first."""

from dataclasses import dataclass

from pipelines.report.comparison_record import Comparison, Measure, Model, Verdict
from pipelines.report.figures import difference_interval_text, difference_text, relative_text, value_text

# Below this many prompts a bootstrap interval covers clearly less than the 95% it promises.
MIN_PROMPTS_FOR_INTERVALS = 30
MAX_EFFECTS = 3
# In the order in which they are wanted; the first measures of the record fill up.
_WANTED = ("passes_tests", "stopped_by_itself", "defines_requested_name", "response_bits_per_byte")


@dataclass(frozen=True)
class Effect:
    """One measure as the opening shows it: from the base's value to the model's, by how much."""

    label: str
    before: str
    after: str
    difference: str
    verdict: Verdict | None


@dataclass(frozen=True)
class Opening:
    """The answer to "is it better than the base?" for one model. `caution` is empty where none is due."""

    model: str
    sentence: str
    effects: tuple[Effect, ...]
    caution: str


def openings(comparison: Comparison) -> list[Opening]:
    """One for each model that is compared with the base."""
    return [_opening(comparison, model) for model in comparison.others]


def _opening(comparison: Comparison, model: Model) -> Opening:
    has = [measure for measure in comparison.compared if measure.name in model.differences]
    wanted = sorted((measure for measure in has if measure.name in _WANTED), key=lambda one: _WANTED.index(one.name))
    chosen = (wanted + [measure for measure in has if measure not in wanted])[:MAX_EFFECTS]
    n_items = max((model.differences[measure.name].figure.n or 0 for measure in has), default=0)
    is_rough = 0 < n_items < MIN_PROMPTS_FOR_INTERVALS
    return Opening(
        model=model.name,
        sentence=model.sentence.rstrip(". ") or _no_sentence(comparison, model, n_measures=len(has)),
        effects=tuple(effect_of(comparison, model, measure) for measure in chosen),
        caution=f"With fewer than {MIN_PROMPTS_FOR_INTERVALS} prompts the intervals are rough." if is_rough else "",
    )


def effect_of(comparison: Comparison, model: Model, measure: Measure) -> Effect:
    """The difference that `model` makes to a measure that it and the base have."""
    difference, unit = model.differences[measure.name], measure.unit
    return Effect(
        label=measure.full_label,
        before=value_text(comparison.base.figures[measure.name].value, unit),
        after=value_text(model.figures[measure.name].value, unit),
        difference=relative_text(difference.relative)
        if difference.relative
        else f"{difference_text(difference.figure, unit)} {difference_interval_text(difference.figure, unit)}",
        verdict=difference.verdict,
    )


def _no_sentence(comparison: Comparison, model: Model, n_measures: int) -> str:
    if n_measures:
        return "the record has no sentence; the measures are below"
    return f"no measure was taken on both {comparison.base.name} and {model.name}"
