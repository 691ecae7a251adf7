"""From intervals to words: better, worse, no difference shown; and the sentence that opens the report."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipelines.report.figures import Figure, Unit, difference_interval_text, difference_text, relative_text, value_text
from pipelines.report.reading import Better, Comparison, Difference, Measure, Model

# Below this many prompts a bootstrap interval covers clearly less than the 95% it promises.
MIN_PROMPTS_FOR_INTERVALS = 30
MAX_HEADLINE_MEASURES = 3


class Verdict(StrEnum):
    """What a paired difference shows; the value is the word on the page."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference shown"
    CHANGED = "changed"  # the interval is clear of zero, and the metric has no good direction


@dataclass(frozen=True)
class Answer:
    """The answer to "is it better than the base?": a word, the headline figures, and the tally of all measures."""

    model: str
    word: str
    headline: str
    tally: str


_HEADLINE = ("stopped_by_itself", "defines_requested_name", "response_bits_per_byte")


def verdict_of(difference: Figure, better: Better) -> Verdict:
    """The word for instruct minus base: an interval that contains zero shows nothing, whatever the value is."""
    if difference.has_zero:
        return Verdict.NO_DIFFERENCE
    if better is Better.NEITHER:
        return Verdict.CHANGED
    return Verdict.BETTER if (difference.value > 0) == (better is Better.HIGHER) else Verdict.WORSE


def compared_measures(comparison: Comparison, model: Model) -> Iterator[tuple[Measure, Difference]]:
    """The measures that both the base and `model` have, with their paired difference, in the record's order."""
    for measure in comparison.measures:
        name = measure.name
        if name in model.differences and name in model.figures and name in comparison.base.figures:
            yield measure, model.differences[name]


def answer_in_words(comparison: Comparison, model: Model) -> Answer:
    """One honest answer for `model` against the base, generated from the paired intervals alone."""
    judged = [
        (measure, difference, verdict_of(difference.figure, measure.better))
        for measure, difference in compared_measures(comparison, model)
        if measure.better is not Better.NEITHER
    ]
    labels: dict[Verdict, list[str]] = {verdict: [] for verdict in Verdict}
    for measure, _, verdict in judged:
        labels[verdict].append(measure.full_label)
    chosen = [row for row in judged if row[0].name in _HEADLINE] or judged[:MAX_HEADLINE_MEASURES]
    return Answer(
        model.name,
        _word(len(labels[Verdict.BETTER]), len(labels[Verdict.WORSE]), len(judged)),
        _headline(comparison, model, chosen),
        _tally(labels, len(judged)),
    )


def _word(n_better: int, n_worse: int, n_measures: int) -> str:
    if n_worse:
        return "In part" if n_better else "No"
    if not n_better:
        return "Not shown"
    return "Yes" if 2 * n_better > n_measures else "In part"


def _headline(comparison: Comparison, model: Model, chosen: list[tuple[Measure, Difference, Verdict]]) -> str:
    if not chosen:
        return f"No measure was taken on both {comparison.base.name} and {model.name}."
    n_prompts = max(difference.figure.n or 0 for _, difference, _ in chosen)
    # a share to be raised is labelled with what the model does: "stops by itself" on so many prompts
    deeds = [row for row in chosen if row[0].unit is Unit.SHARE and row[0].better is Better.HIGHER]
    shares = [_share_phrase(comparison, model, *row, n_prompts) for row in deeds]
    others = [_value_phrase(comparison, model, *row, n_prompts) for row in chosen if row not in deeds]
    on = f"On {n_prompts} {comparison.prompts_name}" if n_prompts else f"On the {comparison.prompts_name}"
    sentence = f"{on} {model.name} " + _listed(shares) if shares else f"{on}"
    if others:
        sentence += ("; " if shares else ": ") + "; ".join(others)
    caution = (
        ""
        if not 0 < n_prompts < MIN_PROMPTS_FOR_INTERVALS
        else (f" With fewer than {MIN_PROMPTS_FOR_INTERVALS} prompts the intervals themselves are rough.")
    )
    return f"{sentence}.{caution}"


def _share_phrase(
    comparison: Comparison, model: Model, measure: Measure, difference: Difference, verdict: Verdict, n_prompts: int
) -> str:
    base, value = comparison.base.figures[measure.name].value, model.figures[measure.name].value
    remark = "" if verdict is Verdict.BETTER else f": {verdict.value}"
    return (
        f"{measure.full_label} on {value_text(value, measure.unit)}"
        f"{_of_fewer(difference.figure, n_prompts)} ({comparison.base.name} {value_text(base, measure.unit)}{remark})"
    )


def _value_phrase(
    comparison: Comparison, model: Model, measure: Measure, difference: Difference, verdict: Verdict, n_prompts: int
) -> str:
    base, value = comparison.base.figures[measure.name].value, model.figures[measure.name].value
    absolute = f"{difference_text(difference.figure, measure.unit)} "
    absolute += difference_interval_text(difference.figure, measure.unit)
    change = relative_text(difference.relative) if difference.relative else absolute
    remark = "" if verdict is Verdict.BETTER else f", {verdict.value}"
    return (
        f"{measure.full_label} {value_text(base, measure.unit)} → {value_text(value, measure.unit)}"
        f"{_of_fewer(difference.figure, n_prompts)}: {change}{remark}"
    )


def _of_fewer(figure: Figure, n_prompts: int) -> str:
    return f" of {figure.n}" if figure.n is not None and figure.n != n_prompts else ""


def _tally(labels: dict[Verdict, list[str]], n_measures: int) -> str:
    """ "Of 9 measures: 8 better; 1 worse (repetition)." Every measure that is not better is named."""
    if not n_measures:
        return ""
    if len(labels[Verdict.BETTER]) == n_measures:
        return f"Better on all {n_measures} measures that have a direction." if n_measures > 1 else ""
    parts = [f"{len(labels[Verdict.BETTER])} better"]
    for verdict in (Verdict.WORSE, Verdict.NO_DIFFERENCE):
        if labels[verdict]:
            parts.append(f"{len(labels[verdict])} {verdict.value} ({', '.join(labels[verdict])})")
    measures = "measure that has" if n_measures == 1 else "measures that have"
    return f"Of {n_measures} {measures} a direction: {'; '.join(parts)}."


def _listed(phrases: list[str]) -> str:
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
