"""The doctor's page: its findings in a recipe, and rows token by token. One self-contained file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from pipelines.files import write_text_atomically
from pipelines.report.doctor.findings import TokenView, findings_section, findings_sentence, token_view
from pipelines.report.rendering import environment_with, page_parts

_STAGES = {"pretrain": "pre-training", "sft": "fine-tuning", "dpo": "preference tuning"}


@dataclass(frozen=True)
class GapView:
    """Tokens that are counted instead of shown; `kind` is their role, "mixed" where they have several."""

    kind: str
    n_tokens: int


@dataclass(frozen=True)
class ExampleView:
    """One training example of a row. `title` is empty for a row that is one example."""

    title: str
    counts: str
    pieces: tuple[TokenView | GapView, ...]


@dataclass(frozen=True)
class RowView:
    """A row with what became of it; `is_whole` if nothing of it was lost."""

    title: str
    counts: str
    fate: str
    is_whole: bool
    examples: tuple[ExampleView, ...]


def write_diagnosis_page(path: Path, record: Mapping[str, Any]) -> None:
    """Write the page of a diagnosis: `Examination.to_json()` with `recipe` (its path) and `shown_rows` besides.

    The folder is made, an older page replaced. The page is a function of `record` alone.
    """
    findings = findings_section(record)
    content = {
        "recipe": record["recipe"],
        "stage": _STAGES[record["stage"]],
        "sentence": findings_sentence(findings),
        "advice": _advice(record),
        "looked_at": _looked_at(record["rows"], record["stage"]),
        "n_checks": record["n_checks"],
        "findings": findings,
        "rows": [_row(row) for row in record["shown_rows"]],
        **page_parts("report.css", "findings.css"),
    }
    write_text_atomically(path, _environment().get_template("diagnosis.html.j2").render(content))


@cache
def _environment() -> Environment:
    return environment_with({"is_gap": lambda piece: isinstance(piece, GapView)})


def _advice(record: Mapping[str, Any]) -> str:
    if record["n_errors"]:
        return "Do not train with this recipe yet: each error ruins the run."
    if record["n_warnings"]:
        return "The run would start. Read each warning first."
    return "The run can start."


def _looked_at(rows: Mapping[str, Mapping[str, int]], stage: str) -> list[tuple[str, str, bool]]:
    """(what, how many of how many, whether that is a sample) for each split."""
    things = "documents" if stage == "pretrain" else "rows"
    names = {"train": f"Training {things}", "held-out": f"Held-out {things}"}
    return [
        (
            names.get(split, f"{things} of {split}"),
            f"{seen['n_seen']:,} of {seen['n_rows']:,}",
            seen["n_seen"] < seen["n_rows"],
        )
        for split, seen in rows.items()
    ]


def _row(record: Mapping[str, Any]) -> RowView:
    fate = str(record["fate"])
    reason = f": {str(record['reason']).replace('_', ' ')}" if record["reason"] else ""
    counts = _counts(record)
    if fate == "dropped":
        counts = f"all {record['n_cut']:,} tokens left out" if record["n_cut"] else "no tokens"
    return RowView(
        title=f"Row {record['row']} of {record['split']}",
        counts=counts,
        fate=fate.replace("_", " ") + reason,
        is_whole=fate == "kept",
        examples=tuple(_example(one) for one in record["examples"]),
    )


def _example(record: Mapping[str, Any]) -> ExampleView:
    pieces = tuple(_piece(piece) for piece in record["tokens"])
    return ExampleView(record["title"] or "", _counts(record), pieces)


def _piece(record: Mapping[str, Any] | Sequence[Any]) -> TokenView | GapView:
    if isinstance(record, Mapping):
        return GapView(record["role"] or "mixed", record["n_tokens"])
    text, token_id, trained, role = record
    return token_view(text, token_id, trained, role)


def _counts(record: Mapping[str, Any]) -> str:
    counts = f"{record['n_tokens']:,} tokens, {record['n_trained']:,} in the loss"
    return f"{counts}, {record['n_cut']:,} cut off" if record["n_cut"] else counts
