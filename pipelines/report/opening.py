"""What the page opens with: for each model, one line each on form, correctness and what was lost."""

from dataclasses import dataclass

from pipelines.report.comparison_record import Comparison, Measure, Model, Verdict
from pipelines.report.figures import difference_interval_text, difference_text, relative_text, value_text


@dataclass(frozen=True)
class Effect:
    """One measure in short: from the base's value to the model's, by how much."""

    label: str
    before: str
    after: str
    difference: str


@dataclass(frozen=True)
class OpeningLine:
    """A sentence of the record on one aspect; `verdict` is that on the measure it rests on, None where it rests on
    none."""

    aspect: str
    text: str
    verdict: Verdict | None


@dataclass(frozen=True)
class Opening:
    """The answer to "is it better than the base?" for one model. A record of an earlier version has no `lines` but a
    `sentence`."""

    model: str
    lines: tuple[OpeningLine, ...]
    sentence: str


def openings(comparison: Comparison) -> list[Opening]:
    """One for each model that is compared with the base."""
    return [
        Opening(
            model=model.name,
            lines=tuple(_lines(model)),
            sentence=model.sentence.rstrip(". ") or _no_sentence(comparison, model),
        )
        for model in comparison.others
    ]


def _lines(model: Model) -> list[OpeningLine]:
    found = {line: model.differences.get(line.metric or "") for line in model.summary}
    return [
        OpeningLine(
            line.aspect,
            line.text.rstrip(". ").replace("->", "→").replace("<=", "≤"),
            difference.verdict if difference else None,
        )
        for line, difference in found.items()
    ]


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
    )


def _no_sentence(comparison: Comparison, model: Model) -> str:
    if any(measure.name in model.differences for measure in comparison.compared):
        return "the record has no sentence; the measures are below"
    return f"no measure was taken on both {comparison.base.name} and {model.name}"
