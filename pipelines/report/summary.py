"""The summary at the top: for each model one line each on form, correctness and what was lost."""

from dataclasses import dataclass

from pipelines.report.comparison_record import Comparison, Model, Verdict


@dataclass(frozen=True)
class SummaryView:
    """The answer to "is it better than the base?" for one model: (aspect, text, verdict of the measure behind it).
    Older records have no `lines` but a `sentence`."""

    model: str
    lines: tuple[tuple[str, str, Verdict | None], ...]
    sentence: str


def summaries(comparison: Comparison) -> list[SummaryView]:
    """One for each model that is compared with the base."""
    return [
        SummaryView(
            model=model.name,
            lines=tuple(_line(model, *line) for line in model.summary),
            sentence=model.sentence.rstrip(". ") or _no_sentence(comparison, model),
        )
        for model in comparison.others
    ]


def _line(model: Model, aspect: str, text: str, metric: str | None) -> tuple[str, str, Verdict | None]:
    difference = model.differences.get(metric or "")
    text = text.rstrip(". ").replace("->", "→").replace("<=", "≤")
    return aspect, text, difference.verdict if difference else None


def _no_sentence(comparison: Comparison, model: Model) -> str:
    if any(measure.name in model.differences for measure in comparison.compared):
        return "the record has no summary; the metrics are below"
    return f"no metric was measured on both {comparison.base.name} and {model.name}"
