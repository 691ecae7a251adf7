"""Tables of texts: likelihoods, benchmarks, judge, categories, overlaps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.files.visible_text import first_upper
from pipelines.report.comparison_record import Comparison, Measure, figure_of
from pipelines.report.figures import Figure, Unit, number_text, p_value_text, perplexity_text, relative_text, value_text

DASH = "–"
ABOVE = "see Metrics"
_ANSWERS = "response"  # a scope of perplexity.json


@dataclass(frozen=True)
class Cell:
    """A text, a smaller one under it, and a link within the page."""

    text: str
    small: str = ""
    href: str = ""
    is_strong: bool = False


@dataclass(frozen=True)
class Table:
    """The first `n_texts` columns hold words, the others figures."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    n_texts: int = 1


def table_of(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell | str]], n_texts: int = 1) -> Table:
    """A `Table` whose cells may be given as plain texts."""
    cells = tuple(tuple(Cell(cell) if isinstance(cell, str) else cell for cell in row) for row in rows)
    return Table(caption, tuple(head), cells, n_texts)


def measures_same_answers(comparison: Comparison, record: Mapping[str, Any]) -> bool:
    """Whether perplexity.json measured the answers that `comparison` has bits per byte of."""
    prompts, dataset = comparison.record["prompts"], record.get("dataset") or {}
    is_same = all(prompts.get(key) == dataset.get(key) for key in ("sha256", "split"))
    return is_same and any(measure.unit is Unit.BITS_PER_BYTE for measure in comparison.compared)


def likelihood_tables(record: Mapping[str, Any], *, without_answers: bool = False) -> list[Table]:
    """perplexity.json: each model on each scope, and each model against the first.

    `without_answers` leaves out the bits per byte of answers, which the measures have already.
    """
    head = ("Measured on", "Model", "Prompt", "Bits per byte", "Perplexity", "Documents", "Tokens", "Bytes")
    rows = [
        (
            _scope(row),
            row["model"],
            row["prompt_style"] or DASH,
            ABOVE
            if without_answers and row["scope"] == _ANSWERS
            else _ci_figure(row, "bits_per_byte", Unit.BITS_PER_BYTE).with_interval,
            perplexity_text(_ci_figure(row, "perplexity", Unit.RATIO)),
            *(f"{row[count]:,}" for count in ("n_documents", "n_tokens", "n_bytes")),
        )
        for row in record["results"]
    ]
    differences = [
        (
            _scope(row),
            _styled(row["model"], row.get("prompt_style")),
            _styled(row["against"], row.get("against_prompt_style")),
            figure_of(row["bits_per_byte"], Unit.BITS_PER_BYTE).change_with_interval,
            relative_text(figure_of(row["relative"])) if row.get("relative") else DASH,
        )
        for row in record.get("differences") or ()
        if not (without_answers and row["scope"] == _ANSWERS)
    ]
    tables = [table_of("Likelihood of each model", head, rows, 3)]
    if differences:
        titles = ("Measured on", "Model", "Against", "Bits per byte", "Relative")
        tables.append(table_of("Differences on the same bytes", titles, differences, 3))
    return tables


def first_tokens(record: Mapping[str, Any]) -> list[str]:
    """What each model's first token was predicted from, where perplexity.json has it."""
    tokens = {model: found.get("token") for model, found in (record.get("condition") or {}).items()}
    return [f"{model}: {token if token else 'nothing, it is not scored'}" for model, token in tokens.items()]


def _styled(name: str, style: str | None) -> str:
    return f"{name} ({style} prompt)" if style else name


def _scope(row: Mapping[str, Any]) -> str:
    scope = {"text": "whole text", "response": "answers only"}.get(row["scope"], row["scope"])
    return scope if row.get("source") is None else f"{scope}, source {row['source']}"


def _ci_figure(row: Mapping[str, Any], name: str, unit: Unit) -> Figure:
    return figure_of({"value": row[name], "ci95": row["ci95"][name], "n": row["n_documents"]}, unit)


def benchmark_table(record: Mapping[str, Any]) -> Table:
    """benchmark.json: values with their standard errors, then the differences with interval and p-value."""
    names = list(record["models"])
    compared = [name for name in names if any((row.get("difference") or {}).get(name) for row in record["results"])]
    titles = [
        f"{name} ({'with' if record['models'][name].get('template') else 'without'} its template)" for name in names
    ]
    head = ("Task", "Metric", "Examples", *titles, *(f"Difference of {name}" for name in compared))
    rows = [
        (
            Cell(str(row["task"]), f"version {row['version']}, n = {row['n']:,}"),
            Cell(str(row["metric"]), f"{row['better']} is better" if row.get("better") else ""),
            f"{row['n_shot']}-shot",
            *(_with_error(row["models"].get(name)) for name in names),
            *(_benchmark_difference((row.get("difference") or {}).get(name)) for name in compared),
        )
        for row in record["results"]
    ]
    return table_of("Standard benchmarks", head, rows, 3)


def _with_error(found: Mapping[str, Any] | None) -> str:
    """0.412 ± 0.013, without the standard error where there is none."""
    if not found or found.get("value") is None:
        return DASH
    error = found.get("stderr")
    return number_text(float(found["value"]), 3) + ("" if error is None else f" ± {number_text(error, 3)}")


def _benchmark_difference(found: Mapping[str, Any] | None) -> Cell | str:
    if not found or found.get("value") is None:
        return DASH
    p_value = "" if found.get("p_value") is None else p_value_text(found["p_value"])
    return Cell(figure_of(found).change_with_interval, p_value)


def judge_table(judge: Mapping[str, Any]) -> Table:
    """The judge's verdicts on each model's answers against the base's."""
    head = ("Model", "Wins", "Ties", "Losses", "No verdict", "Share won (ties half)", "Agrees with itself")
    rows = [
        (
            name,
            *(f"{found.get(key, 0):,}" for key in ("n_wins", "n_ties", "n_losses", "n_errors")),
            *(_share(found.get(key)) for key in ("win_share", "agreement_with_itself")),
        )
        for name, found in judge["models"].items()
    ]
    return table_of("The judge's verdicts", head, rows)


def _share(record: Mapping[str, Any] | None) -> str:
    return DASH if record is None or record.get("value") is None else figure_of(record, Unit.SHARE).with_interval


def category_tables(comparison: Comparison, max_categories: int | None = None) -> list[tuple[str, Table]]:
    """(model, table): differences of greedy answers from the base by category of prompt, the largest first."""
    categories = comparison.record.get("categories") or {}
    ordered = sorted(categories.items(), key=lambda item: -item[1]["n"])[:max_categories]
    return [(model.name, _category_table(comparison, model.name, ordered)) for model in comparison.others if ordered]


def _category_table(comparison: Comparison, model: str, categories: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    head = ("Measure", *(f"{name} (n = {found['n']:,})" for name, found in categories))
    rows = []
    for measure in (one for one in comparison.compared if one.decoding != "sampled"):
        cells = [_category_cell(found, comparison.base.name, model, measure) for _, found in categories]
        if any(cell.text != DASH for cell in cells):
            rows.append((Cell(first_upper(measure.full_label)), *cells))
    return table_of(f"{model} against {comparison.base.name} by category", head, rows)


def _category_cell(found: Mapping[str, Any], base: str, model: str, measure: Measure) -> Cell:
    difference = (found["differences"].get(model) or {}).get(measure.name)
    if not difference or difference["value"] is None:
        return Cell(DASH)
    figure = figure_of(difference, measure.unit)
    ends = [(found["models"].get(name) or {}).get(measure.name) for name in (base, model)]
    values = " → ".join(value_text(end["value"], measure.unit) for end in ends if end and end["value"] is not None)
    return Cell(figure.change, f"{figure.change_interval}\n{values}", is_strong=not figure.has_zero)


def overlap_table(overlaps: Sequence[Mapping[str, Any]], shown_ids: frozenset[Any]) -> Table:
    """The longest runs of words that answers share with training rows, with links to the prompts on the page."""
    head = ("Model", "Prompt", "Words in a row", "Training row", "Text")
    rows = [
        (
            str(one["model"]),
            Cell(str(one["id"]), href=f"#prompt-{one['id']}" if one["id"] in shown_ids else ""),
            f"{one['n_words']:,}",
            str(one["row"]),
            str(one["text"]),
        )
        for one in overlaps
    ]
    return table_of("Longest runs of words that answers share with the training rows", head, rows, 5)
