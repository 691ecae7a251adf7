"""Jinja templates -> report.html and report.md, written atomically into the comparison folder."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from pipelines.files import write_text_atomically
from pipelines.files.visible_text import visible
from pipelines.report.answers.answers import MAX_PROMPTS, Prompt, shown_prompts
from pipelines.report.answers.filters import filters_of
from pipelines.report.charts.charts import training_charts
from pipelines.report.charts.paired_chart import paired_charts
from pipelines.report.charts.token_charts import position_chart, reliability_chart
from pipelines.report.comparison_record import Comparison, Verdict
from pipelines.report.doctor.postflight_results import check_results
from pipelines.report.measures import MIN_PROMPTS, measure_tables, sampled_settings
from pipelines.report.provenance import all_facts, model_facts, real_name, short_facts
from pipelines.report.reading import Records, parsed, read_records, without_paths
from pipelines.report.rendering import environment_with, page_parts
from pipelines.report.summary import summaries
from pipelines.report.tables import (
    Table,
    benchmark_table,
    category_tables,
    first_tokens,
    judge_table,
    likelihood_tables,
    measures_same_answers,
    overlap_table,
)
from pipelines.report.training_rows import hardest_rows, measured_rows, training_samples

MAX_MARKDOWN_CHARACTERS = 1_500
MAX_MARKDOWN_CATEGORIES = 6
N_EXAMPLES = 3
EXAMPLE_RULE = (
    "Chosen by rule: the first extra prompt, the first that only improved, the first that got worse; if there is "
    "none, the next in order."
)
# colors and marks repeat beyond so many models; their order does not
N_LOOKS = 5
_GLYPHS = {
    Verdict.BETTER: "▲", Verdict.WORSE: "▼", Verdict.NO_DIFFERENCE: "·", Verdict.CHANGED: "≠",
    Verdict.TOO_FEW_GROUPS: "?",
}  # fmt: skip


def write_report(comparison_folder: Path, run_folder: Path | None = None) -> list[Path]:
    """Write report.html and report.md into `comparison_folder` from its records and those of the training run.

    Returns the two paths. An older report is replaced; records are only read. Raises `UserError` for a missing or
    broken comparison.json or responses.jsonl, and for a broken optional record.
    """
    whole = read_records(comparison_folder, run_folder)
    hardest = hardest_rows(run_folder, whole.run) if run_folder else []
    records = without_paths(whole)
    environment, content = _environment(), _content(records, comparison_folder, run_folder or comparison_folder)
    content |= {"hardest_rows": hardest, "measured_rows": measured_rows(whole.run)}
    content["tables"] = _markdown_tables(content)
    written = []
    for name in ("report.html", "report.md"):
        text = environment.get_template(f"{name}.j2").render(content)
        write_text_atomically(comparison_folder / name, text)
        written.append(comparison_folder / name)
    return written


@cache
def _environment() -> Environment:
    return environment_with(
        {
            "breakable": _breakable,
            "glyph": _GLYPHS.__getitem__,
            "look": lambda number: number if number < N_LOOKS else (number - 1) % (N_LOOKS - 1) + 1,
            "percent": lambda number: f"{number:.2f}%",
        }
    )


def _content(records: Records, folder: Path, run_folder: Path) -> dict[str, Any]:
    """Everything that the templates name."""
    comparison = records.comparison
    prompts = parsed(folder / "responses.jsonl", lambda rows: shown_prompts(rows, comparison), records.responses)
    return {
        "comparison": comparison,
        "models": [model.name for model in comparison.models],
        "compared": [model.name for model in comparison.others],
        "question": [real_name(model.path) for model in (comparison.base, *comparison.others)],
        "model_facts": model_facts(records),
        "summaries": summaries(comparison),
        "measures": measure_tables(comparison),
        "min_prompts": MIN_PROMPTS,
        "paired_charts": parsed(
            folder / "responses.jsonl", lambda rows: paired_charts(rows, comparison), records.responses
        ),
        "sampled_settings": sampled_settings(comparison),
        "meanings": {measure.label: measure.meaning for measure in comparison.compared},
        "prompts": prompts,
        "examples": examples(prompts, N_EXAMPLES),
        "example_rule": EXAMPLE_RULE,
        "filters": filters_of(prompts, comparison),
        "n_left_out": max(0, len(records.responses) - MAX_PROMPTS),
        "facts": parsed(run_folder / "run.json", all_facts, records),
        "short_facts": short_facts(records),
        "paths": [f"{path.parent.name}/{path.name}" for path in records.paths],
        "max_markdown_characters": MAX_MARKDOWN_CHARACTERS,
        **page_parts("report.css", "findings.css"),
        **parsed(run_folder / "run.json", check_results, records.run),
        **_training_content(records, run_folder),
        **_likelihood_content(records, folder),
        **parsed(folder / "comparison.json", lambda found: _detail_content(found, prompts), comparison),
    }


def _markdown_tables(content: dict[str, Any]) -> list[tuple[Table, str]]:
    """The tables of the short report besides the measures, with their titles."""
    found = category_tables(content["comparison"], MAX_MARKDOWN_CATEGORIES)
    n_categories = len(content["comparison"].record.get("categories") or ())
    title = f"The {MAX_MARKDOWN_CATEGORIES} largest" if n_categories > MAX_MARKDOWN_CATEGORIES else "All"
    categories = [(table, f"{title} categories: {name}") for name, table in found]
    named = [(content["benchmarks"], "Benchmarks"), (content["judge_verdicts"], "Judge")]
    return [*categories, *((table, name) for table, name in named if table is not None)]


def _training_content(records: Records, run_folder: Path) -> dict[str, Any]:
    strategy = ((records.run or {}).get("recipe") or {}).get("train_sampling_strategy")
    return {
        "training_charts": parsed(
            run_folder / "trainer_state.json",
            lambda history: training_charts(history, groups_by_length=strategy == "group_by_length"),
            records.log_history,
        ),
        "training_samples": parsed(run_folder / "samples.jsonl", training_samples, records.training_samples),
    }


def _likelihood_content(records: Records, folder: Path) -> dict[str, Any]:
    perplexity, benchmark = folder / "perplexity.json", folder / "benchmark.json"
    comparison, measured = records.comparison, records.perplexity
    is_same = measured is not None and measures_same_answers(comparison, measured)
    return {
        "base_styles": _base_styles(comparison),
        "perplexity": measured,
        "likelihoods": parsed(perplexity, lambda found: likelihood_tables(found, without_answers=is_same), measured)
        if measured
        else [],
        "first_tokens": parsed(perplexity, first_tokens, measured) if measured else [],
        "benchmark": records.benchmark,
        "benchmarks": parsed(benchmark, benchmark_table, records.benchmark) if records.benchmark else None,
    }


def _detail_content(comparison: Comparison, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """What comparison.json holds besides the measures: categories, charts over tokens, overlaps, the judge."""
    record, names = comparison.record, [model.name for model in comparison.models]
    details, judge = record.get("details") or {}, record.get("judge")
    overlaps = details.get("longest_overlaps")
    charts = (
        position_chart(details.get("likelihood_by_position"), names),
        reliability_chart(details.get("reliability"), names),
    )
    return {
        "categories": category_tables(comparison),
        "token_charts": [chart for chart in charts if chart is not None],
        "overlaps": overlap_table(overlaps, frozenset(prompt.id for prompt in prompts)) if overlaps else None,
        "judge": judge,
        "judge_verdicts": judge_table(judge) if judge else None,
    }


def examples(prompts: Sequence[Prompt], n_wanted: int) -> list[Prompt]:
    """By rule: the first extra prompt, the first that only improved, the first that got worse; the next in order."""
    held_out = [prompt for prompt in prompts if not prompt.is_extra]
    chosen = [prompt for prompt in prompts if prompt.is_extra][:1]
    chosen += [prompt for prompt in held_out if prompt.n_improved and not prompt.n_worsened][:1]
    chosen += [prompt for prompt in held_out if prompt.n_worsened][:1]
    return (chosen + [prompt for prompt in prompts if prompt not in chosen])[:n_wanted]


def _breakable(name: str) -> Markup:
    """A dotted_key that a narrow column may break after its dots and underscores."""
    return Markup(str(escape(visible(name))).replace("_", "_<wbr>").replace(".", ".<wbr>"))


def _base_styles(comparison: Comparison) -> tuple[str, list[tuple[str, str]]] | None:
    """(the prompt style of the base's headline figure, its response bits per byte under each other style); None where
    one style was measured."""
    styles = dict(comparison.base_prompt_styles)
    if len(styles) < 2:
        return None
    recorded = comparison.record["base_prompt_styles"]
    headline = min(styles, key=lambda style: (not recorded[style].get("is_headline"), styles[style].value))
    del styles[headline]
    return headline, [(style, figure.with_interval) for style, figure in styles.items()]
