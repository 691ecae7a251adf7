"""The summary of a comparison (one line each for form, correctness and what was lost), warnings, the console table."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation.compare.measuring import MeasuredModel
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.statistics.corrected_differences import CorrectedDifference, Verdict
from pipelines.evaluation.statistics.metric_definition import Aspect
from pipelines.evaluation.statistics.row_groups import RowGroups
from pipelines.evaluation.statistics.significance import p_value_text
from pipelines.modeling import PromptStyle

MAX_EMPTY_SHARE = 0.1
MIN_PROMPTS = 20

# The metric of an aspect: the first of these that at least half of the prompts have. Fixed before any result is known:
# the largest difference would be the luckiest one.
_HEADLINE_METRICS = {
    Aspect.FORM: ("stopped_by_itself", "parses", "empty_answers"),
    Aspect.CORRECTNESS: (
        "passes_tests",
        "numeric_answer",
        "exact_match",
        "follows_all_constraints",
        "chrf",
        "response_bits_per_byte",
    ),
    Aspect.LOST: ("general_bits_per_byte", "capability"),
}
_UNMEASURED = {
    Aspect.FORM: "not measured",
    Aspect.CORRECTNESS: "not measured: no reference answers, tests or constraints",
    Aspect.LOST: "not measured: give --general or --capability",
}
Differences = Mapping[str, CorrectedDifference]
Values = Mapping[str, Mapping[str, float]]


def summary_of(differences: Mapping[str, Differences], values: Values, model: str) -> dict[str, dict[str, Any]]:
    """`form`, `correctness` and `lost` of `model`. `differences` are those to each baseline, of which the first gives
    the figures of the record; `values` are those of each model by metric."""
    return {aspect.value: _line(aspect, differences, values, model) for aspect in Aspect}


def sentence_of(differences: Differences, summary: Mapping[str, Mapping[str, Any]]) -> str:
    """The lines of a summary as one sentence."""
    if not differences:
        return "nothing was measured on both models"
    if all(one.is_zero for one in differences.values()):
        n_items = next(iter(differences.values())).difference.estimate.n  # the first on a page applies to every prompt
        return f"no difference at all: equal on every item of all {len(differences)} metrics, n = {n_items}"
    return "; ".join(f"{aspect}: {line['text']}" for aspect, line in summary.items())


_NOT_SERVED = "likelihood of the references, P(end), calibration and forgetting are not measured"


def warnings_of(prompts: Sequence[Prompt], models: Sequence[MeasuredModel]) -> list[dict[str, str]]:
    """The warnings at the top of a page, each an `id` and a `text`."""
    counted = [place for place, prompt in enumerate(prompts) if prompt.counted]
    found = []
    for model in models:
        n_empty = sum(not model.greedy[place].text.strip() for place in counted)
        if n_empty > MAX_EMPTY_SHARE * len(counted):
            found.append(("empty_answers", f"{n_empty} of {len(counted)} greedy answers of {model.name} are empty"))
    if all(model.prompt_style is not PromptStyle.CHAT for model in models):
        found.append(("no_chat_template", "no model has a chat template: all answer plain prompts"))
    if len(counted) < MIN_PROMPTS:
        found.append(("few_prompts", f"only {len(counted)} prompts: only a large difference can be shown"))
    groups = RowGroups.of([prompts[place].dependence for place in counted], len(counted))
    if groups.are_too_few:
        text = (
            f"the {len(counted)} prompts are in {groups.n_groups} groups ({groups.n_effective:.1f} effective), too few "
            "to call a difference better or worse: intervals are rough"
        )
        found.append(("too_few_groups", text))
    if served := [f"{one.name} ({one.engine['name']})" for one in models if one.engine]:
        found.append(("served", f"a server answered for {', '.join(served)}: {_NOT_SERVED}"))
    return [{"id": id, "text": text} for id, text in found]


def _line(aspect: Aspect, differences: Mapping[str, Differences], values: Values, model: str) -> dict[str, Any]:
    first, *_ = differences
    measured = {name: one for name, one in differences[first].items() if one.definition.group.aspect is aspect}
    greedy = {name: one for name, one in measured.items() if one.decoding != "sampled"}
    known = [name for name in _HEADLINE_METRICS[aspect] if name in greedy]
    n_most = max((greedy[name].difference.estimate.n for name in known), default=0)
    chosen = next((name for name in known if 2 * greedy[name].difference.estimate.n >= n_most), None)
    worse = [one.label for name, one in greedy.items() if one.verdict is Verdict.WORSE and name != chosen]
    also = f"; worse: {', '.join(worse)}" if worse else ""
    if chosen is None:
        return {"text": _UNMEASURED[aspect] + also, "metric": None, "worse": worse}
    against = {
        baseline: {**_figures(found[chosen]), "value": values[baseline][chosen]}
        for baseline, found in differences.items()
        if chosen in found
    }
    texts = [_text(baseline, differences[baseline][chosen], values, model, chosen) for baseline in against]
    return {
        "text": f"{greedy[chosen].label} {'; '.join(texts)}{also}",
        "metric": chosen,
        "value": values[model][chosen],
        **_figures(greedy[chosen]),
        "against": against,
        "worse": worse,
    }


def _figures(one: CorrectedDifference) -> dict[str, Any]:
    estimate = one.difference.estimate.to_json()
    return {
        "difference": estimate.pop("value"),
        **estimate,
        "p": one.p_corrected,
        "p_at_floor": one.test.is_at_floor,
        "verdict": one.verdict.value,
    }


def _text(baseline: str, one: CorrectedDifference, values: Values, model: str, metric: str) -> str:
    """ "6.8% (base) -> 99.0%: +92.2 points [+88.1, +95.3], p <= 0.0014, n = 205 in 18 groups, better"."""
    unit, estimate = one.definition.unit, one.difference.estimate
    before, after = (_shown(values[name][metric], unit) for name in (baseline, model))
    low, high = (_shown(end, unit, "+") for end in estimate.ci95)
    points = " points" if unit == "share" else ""
    n = f"n = {estimate.n}" + (f" in {estimate.n_groups} groups" if estimate.n_groups else "")
    change = _shown(estimate.value, unit, "+")
    return (
        f"{before} ({baseline}) -> {after}: {change}{points} [{low}, {high}], "
        f"{p_value_text(one.p_corrected, is_at_floor=one.test.is_at_floor)}, {n}, {one.verdict.value}"
    )


def _shown(value: float, unit: str, sign: str = "") -> str:
    factor, decimals = (100, 1) if unit == "share" else (1, 3 if unit in ("bits_per_byte", "ratio") else 1)
    return f"{factor * value:{sign}.{decimals}f}" + ("%" if unit == "share" and not sign else "")


def comparison_table(record: Mapping[str, Any]) -> str:
    """One line for each metric, with models and differences in columns; then warnings and the summary of each model."""
    names = list(record["models"])
    rows = [["metric", *names]]
    for name in record["differences"]:
        rows[0] += [f"{name} - {names[0]} (95% interval)", "p", "n", ""]
    for metric, words in record["metric_definitions"].items():
        row = [words["label"] + (" (sampled)" if words["decoding"] == "sampled" else "")]
        for name in names:
            figure = record["models"][name]["metrics"].get(metric)
            row.append(_shown(figure["value"], words["unit"]) if figure else "-")
        for found in record["differences"].values():
            row += _difference_cells(found.get(metric), words["unit"])
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )
    warnings = (f"warning: {one['text']}" for one in record.get("warnings", ()))
    said = (
        f"{name}, {aspect}: {line['text']}"
        for name, summary in record["summary"].items()
        for aspect, line in summary.items()
    )
    return "\n".join([*(line.rstrip() for line in lines), *warnings, *said])


def _difference_cells(figure: Mapping[str, Any] | None, unit: str) -> list[str]:
    """The difference with its interval, its corrected p-value, the number of items, and the verdict."""
    if figure is None:
        return ["-", "", "", ""]
    low, high = (_shown(end, unit) for end in figure["ci95"])
    sign = "+" if figure["value"] > 0 else ""
    relative = f", {figure['relative']['value']:+.1%}" if "relative" in figure else ""
    return [
        f"{sign}{_shown(figure['value'], unit)} [{low}, {high}]{relative}",
        p_value_text(figure["p_holm"], is_at_floor=figure["p_at_floor"]).removeprefix("p ").removeprefix("= "),
        f"{figure['n']}" + (f" in {figure['n_groups']} groups" if figure["n_groups"] != figure["n"] else ""),
        figure["verdict"],
    ]
