"""Jinja templates -> report.html and report.md, written atomically into the comparison folder."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from pipelines.files import write_text_atomically
from pipelines.report.answers import MAX_PROMPTS, Outcome, Prompt, shown_prompts
from pipelines.report.charts import loss_chart
from pipelines.report.figures import Unit, interval_text, value_text
from pipelines.report.likelihoods import likelihood_differences, likelihoods
from pipelines.report.measures import measure_groups
from pipelines.report.provenance import all_facts
from pipelines.report.reading import Records, parsed, read_records
from pipelines.report.verdicts import Verdict, answer_in_words, compared_measures
from pipelines.report.visible_text import fenced, markdown_code, markdown_text, visible

_TEMPLATES = Path(__file__).parent / "templates"
MAX_MARKDOWN_CHARACTERS = 1_500
_GLYPHS = {
    Verdict.BETTER: "▲", Verdict.WORSE: "▼", Verdict.NO_DIFFERENCE: "=", Verdict.CHANGED: "≠",
    Outcome.IMPROVED: "▲", Outcome.WORSE: "▼", Outcome.MIXED: "◆", Outcome.SAME: "=",
}  # fmt: skip


def write_report(comparison_folder: Path, run_folder: Path | None = None) -> list[Path]:
    """Write report.html and report.md into `comparison_folder` from its records and those of the training run.

    Returns the two paths. An older report is replaced; records are only read. Raises `UserError` for a missing or
    broken comparison.json or responses.jsonl, and for a broken optional record.
    """
    records = read_records(comparison_folder, run_folder)
    environment, content = _environment(), _content(records, comparison_folder, run_folder or comparison_folder)
    written = []
    for name in ("report.html", "report.md"):
        text = environment.get_template(f"{name}.j2").render(content)
        write_text_atomically(comparison_folder / name, text)
        written.append(comparison_folder / name)
    return written


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # names, paths and labels too: nothing printed can reorder or break the page
        finalize=lambda value: visible(value) if isinstance(value, str) else value,
    )
    environment.filters |= {
        "breakable": _breakable,
        "fenced": fenced,
        "first_upper": lambda text: text[:1].upper() + text[1:],
        "glyph": _GLYPHS.__getitem__,
        "md": markdown_text,
        "md_code": markdown_code,
    }
    return environment


def _content(records: Records, folder: Path, run_folder: Path) -> dict[str, Any]:
    """Everything that the templates name."""
    comparison = records.comparison
    models = [comparison.base.name, *(model.name for model in comparison.others)]
    prompts = parsed(folder / "responses.jsonl", lambda rows: shown_prompts(rows, models), records.responses)
    perplexity_path = folder / "perplexity.json"
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    return {
        "comparison": comparison,
        "models": models,
        "answers": [answer_in_words(comparison, model) for model in comparison.others],
        "tables": [(model.name, measure_groups(comparison, model)) for model in comparison.others],
        "meanings": _meanings(records),
        "base_styles": _base_styles(records),
        "chart": parsed(run_folder / "trainer_state.json", loss_chart, records.log_history),
        "perplexity": records.perplexity,
        "likelihoods": parsed(perplexity_path, likelihoods, records.perplexity) if records.perplexity else [],
        "differences": parsed(perplexity_path, likelihood_differences, records.perplexity)
        if records.perplexity
        else [],
        "prompts": prompts,
        "examples": examples(prompts, 3),
        "n_left_out": max(0, len(records.responses) - MAX_PROMPTS),
        "facts": parsed(run_folder / "run.json", all_facts, records),
        "paths": [path.as_posix() for path in records.paths],
        "max_markdown_characters": MAX_MARKDOWN_CHARACTERS,
        "filters": _filters(prompts, models),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "style": Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
    }


def examples(prompts: Sequence[Prompt], n_wanted: int) -> list[Prompt]:
    """Prompts for the short report, by rule: the first extra one, the first that improved, the first that got worse."""
    held_out = [prompt for prompt in prompts if not prompt.is_extra]
    chosen = [prompt for prompt in prompts if prompt.is_extra][:1]
    for outcome in (Outcome.IMPROVED, Outcome.WORSE):
        chosen += [prompt for prompt in held_out if prompt.outcome is outcome][:1]
    return (chosen + [prompt for prompt in prompts if prompt not in chosen])[:n_wanted]


def _meanings(records: Records) -> dict[str, str]:
    """Label -> meaning of the measures that any table shows; a sampled one means the same as its greedy namesake."""
    comparison = records.comparison
    shown = [measure for model in comparison.others for measure, _ in compared_measures(comparison, model)]
    return {measure.label: measure.meaning for measure in shown}


def _breakable(name: str) -> Markup:
    """A dotted_key that a narrow column may break after its dots and underscores."""
    return Markup(str(escape(name)).replace("_", "_<wbr>").replace(".", ".<wbr>"))


def _base_styles(records: Records) -> list[tuple[str, str]]:
    """The base's response bits per byte under each prompt style it was given."""
    unit = Unit.BITS_PER_BYTE
    styles = records.comparison.base_prompt_styles
    return [(style, f"{value_text(f.value, unit)} {interval_text(f, unit)}") for style, f in styles.items()]


def _filters(prompts: Sequence[Prompt], models: Sequence[str]) -> list[tuple[str, str, int]]:
    """(tag, label, count) of the page's filters that would show something; the first shows all."""
    instruct = models[1]
    wanted = [
        ("improved", f"{instruct} improved", sum(p.outcome is Outcome.IMPROVED for p in prompts)),
        ("worse", f"{instruct} worse", sum(p.outcome is Outcome.WORSE for p in prompts)),
        ("mixed", "mixed", sum(p.outcome is Outcome.MIXED for p in prompts)),
        ("unstopped", f"{instruct} did not stop", sum(p.did_not_stop for p in prompts)),
    ]
    return [("", "all", len(prompts)), *(row for row in wanted if row[2])]
