"""From the run: sample answers during the training, and the training rows with the highest loss."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import ROW_SUFFIXES, is_dataset_folder, load_rows, row_suffix
from data_prep.dataset_folder.row_files import read_parquet_table
from pipelines.errors import UserError
from pipelines.files.visible_text import Excerpt, excerpt, one_line
from pipelines.hub.local_paths import without_local_paths
from pipelines.report.figures import number_text

MAX_PROMPTS = 8
MAX_STEPS = 12
MAX_SAMPLE_CHARACTERS = 800
FILE_NAME = "row_losses.parquet"
N_ROWS = 10
MAX_CHARACTERS = 1_200


@dataclass(frozen=True)
class HardRow:
    """A training row: its number, its source, its loss in nats per token, and its text if it is available."""

    row: str
    source: str
    loss: str
    n_tokens: str
    text: Excerpt | None


def hardest_rows(run_folder: Path, run: Mapping[str, Any] | None) -> list[HardRow]:
    """The rows with the highest loss, none without row_losses.parquet. Their texts come from the local dataset that
    run.json names, if it still has as many rows."""
    path = run_folder / FILE_NAME
    if not path.is_file():
        return []
    import pyarrow.compute as pc

    table = read_parquet_table(path)
    table = table.filter(pc.is_finite(table["loss"])).sort_by([("loss", "descending")]).slice(0, N_ROWS)
    texts = _texts(run or {}, [one["row"] for one in table.to_pylist()])
    return [_hard_row(one, texts.get(one["row"])) for one in table.to_pylist()]


def measured_rows(run: Mapping[str, Any] | None) -> str:
    """ "all rows", or of how many rows the file is a sample, by run.json."""
    counts = (run or {}).get("row_losses") or {}
    n_rows, n_trained = counts.get("n_rows"), counts.get("n_rows_trained")
    return "all rows" if n_rows == n_trained else f"a sample of {n_rows:,} of {n_trained:,} rows"


def _hard_row(record: Mapping[str, Any], text: str | None) -> HardRow:
    parts = [record.get("source"), None if record.get("source_row") is None else f"row {record['source_row']}"]
    return HardRow(
        row=f"{record['row']:,}",
        source=", ".join(str(without_local_paths(part)) for part in parts if part is not None),
        loss=number_text(record["loss"], 3),
        n_tokens=f"{record['n_tokens']:,}",
        text=None if text is None else excerpt(text, MAX_CHARACTERS),
    )


def _texts(run: Mapping[str, Any], wanted: list[int]) -> dict[int, str]:
    dataset, recipe = run.get("dataset") or {}, run.get("recipe") or {}
    path = Path(str(dataset.get("path")))
    if not (is_dataset_folder(path) or (path.is_file() and row_suffix(path) in ROW_SUFFIXES)):
        return {}
    try:
        rows = load_rows(str(path), str(recipe.get("dataset_train_split") or "train"))
    except UserError:  # another dataset by now
        return {}
    is_same = dataset.get("n_rows") in (None, len(rows))
    return {place: _row_text(rows[place]) for place in wanted if is_same and 0 <= place < len(rows)}


def _row_text(row: Mapping[str, Any]) -> str:
    """The columns that hold something, one after another; structures as JSON."""
    columns = {name: value for name, value in row.items() if value not in (None, "", [])}
    return "\n".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}"
        for name, value in columns.items()
    )


@dataclass(frozen=True)
class SampleAtStep:
    """An answer given after so many optimizer steps."""

    step: str
    answer: Excerpt
    stopped: bool


@dataclass(frozen=True)
class TrainingSample:
    """One prompt, as the model saw it, with its answers in order of steps."""

    title: str
    prompt: Excerpt
    answers: tuple[SampleAtStep, ...]


def training_samples(rows: Sequence[Mapping[str, Any]]) -> list[TrainingSample]:
    """samples.jsonl: the first prompts with their last answers. Raises KeyError where a row is broken."""
    by_prompt: dict[str, list[SampleAtStep]] = {}
    for row in rows:
        found = SampleAtStep(f"{row['step']:,}", excerpt(row["answer"], MAX_SAMPLE_CHARACTERS), bool(row["stopped"]))
        by_prompt.setdefault(row["prompt"], []).append(found)
    chosen = list(by_prompt.items())[:MAX_PROMPTS]
    return [
        TrainingSample(one_line(prompt, 120), excerpt(prompt, MAX_SAMPLE_CHARACTERS), tuple(answers[-MAX_STEPS:]))
        for prompt, answers in chosen
    ]
