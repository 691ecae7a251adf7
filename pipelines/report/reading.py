"""Records -> typed values. A required record that is missing or broken is a one-line `UserError`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pipelines.errors import UserError
from pipelines.files import read_json, read_jsonl
from pipelines.report.figures import Figure, Unit

T = TypeVar("T")


class Better(StrEnum):
    """Which way a metric improves."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True)
class Measure:
    """The definition of a metric. `decoding` is "greedy", "sampled" or None for a likelihood."""

    name: str
    label: str
    unit: Unit
    better: Better
    decoding: str | None
    meaning: str

    @property
    def full_label(self) -> str:
        """The label, which tells a sampled metric from the greedy one of the same label."""
        is_told = self.decoding != "sampled" or "sampled" in self.label
        return self.label if is_told else f"{self.label} (sampled)"


@dataclass(frozen=True)
class Difference:
    """Instruct minus base over the same prompts, and as a share of the base where the record has it."""

    figure: Figure
    relative: Figure | None


@dataclass(frozen=True)
class Model:
    """One compared model. `differences` (against the base, by metric) is empty for the base itself."""

    name: str
    path: str
    fingerprint: str
    prompt_style: str
    figures: Mapping[str, Figure]
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class Comparison:
    """comparison.json: the base, the models compared with it, and the metrics in the record's order."""

    base: Model
    others: tuple[Model, ...]
    measures: tuple[Measure, ...]
    base_prompt_styles: Mapping[str, Figure]
    record: Mapping[str, Any]

    @property
    def prompts_name(self) -> str:
        """ "held-out prompts" where the record names a held-out split, else "prompts"."""
        return "held-out prompts" if self.record["prompts"].get("split") in ("test", "validation") else "prompts"


@dataclass(frozen=True)
class Records:
    """All that the report is made from; an optional record is None (or empty) where it is missing."""

    comparison: Comparison
    responses: tuple[Mapping[str, Any], ...]
    perplexity: Mapping[str, Any] | None = None
    run: Mapping[str, Any] | None = None
    log_history: tuple[Mapping[str, Any], ...] = ()
    ledger: Mapping[str, Any] | None = None
    paths: tuple[Path, ...] = field(default=())


def read_records(comparison_folder: Path, run_folder: Path | None) -> Records:
    """Read what the two folders hold.

    Raises `UserError` for a missing or broken comparison.json or responses.jsonl, and for a broken optional record.
    """
    if run_folder is not None and not run_folder.is_dir():
        raise UserError(
            expected=f"a run folder at {run_folder}",
            got="no such folder",
            remedy="give the output_dir of the training run",
        )
    wanted = {name: comparison_folder / name for name in ("comparison.json", "responses.jsonl", "perplexity.json")}
    if run_folder is not None:
        wanted |= {name: run_folder / name for name in ("run.json", "trainer_state.json", "ledger.json")}
    comparison = read_json(wanted["comparison.json"])
    responses = tuple(read_jsonl(wanted["responses.jsonl"]))
    trainer_state = _optional(wanted, "trainer_state.json") or {}
    return Records(
        comparison=parsed(wanted["comparison.json"], comparison_of, comparison),
        responses=parsed(wanted["responses.jsonl"], _responses, responses),
        perplexity=_optional(wanted, "perplexity.json"),
        run=_optional(wanted, "run.json"),
        log_history=tuple(trainer_state.get("log_history") or ()),
        ledger=_optional(wanted, "ledger.json"),
        paths=tuple(path for path in wanted.values() if path.is_file()),
    )


def parsed(path: Path, reader: Callable[[Any], T], value: Any) -> T:
    """`reader(value)`; a key that is missing or of the wrong kind becomes a `UserError` that names the file."""
    try:
        return reader(value)
    except KeyError as error:
        problem = f"no key {error.args[0]!r}"
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        problem = str(error)
    raise UserError(
        expected=f"a whole record in {path}", got=problem, remedy="write it again with the program that made it"
    )


def figure_of(record: Any) -> Figure:
    """A `Figure` from {"value", "ci95": [low, high], "n"}. Raises KeyError, TypeError or ValueError."""
    low, high = record["ci95"]
    if not all(math.isfinite(number) for number in (record["value"], low, high)):
        raise ValueError(f"a figure that is not finite: {record}")
    return Figure(record["value"], low, high, record.get("n"))


def comparison_of(record: Any) -> Comparison:
    """The typed form of comparison.json. Raises KeyError, TypeError or ValueError where it is not one."""
    if record.get("kind") != "comparison":
        raise ValueError(f"kind {record.get('kind')!r} instead of 'comparison'")
    for key in ("created", "versions", "machine", "prompts", "decoding"):
        record[key]
    models = {
        name: _model(name, model, record["differences"].get(name, {})) for name, model in record["models"].items()
    }
    bases = [name for name, model in record["models"].items() if model["role"] == "base"]
    if len(bases) != 1 or len(models) < 2:
        raise ValueError(
            f"{len(bases)} models of role 'base' among {len(models)}, instead of one and at least one other"
        )
    return Comparison(
        base=models.pop(bases[0]),
        others=tuple(models.values()),
        measures=tuple(_measure(name, words) for name, words in record["metric_definitions"].items()),
        base_prompt_styles={
            style: figure_of(figure) for style, figure in (record.get("base_prompt_styles") or {}).items()
        },
        record=record,
    )


def _model(name: str, record: Mapping[str, Any], differences: Mapping[str, Any]) -> Model:
    return Model(
        name=name,
        path=record["path"],
        fingerprint=record["fingerprint"],
        prompt_style=record["prompt_style"],
        # a metric that applied to no prompt has no value: it is left out of the page
        figures={m: figure_of(figure) for m, figure in record["metrics"].items() if figure["value"] is not None},
        differences={
            metric: Difference(figure_of(figure), figure_of(figure["relative"]) if figure.get("relative") else None)
            for metric, figure in differences.items()
            if figure["value"] is not None
        },
    )


def _measure(name: str, words: Mapping[str, Any]) -> Measure:
    return Measure(
        name, words["label"], Unit(words["unit"]), Better(words["better"]), words["decoding"], words["meaning"]
    )


def _responses(rows: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    for row in rows:
        row["id"], row["instruction"]
        for answers in row["answers"].values():
            for answer in [answers["greedy"], *answers["samples"]]:
                answer["text"], answer["n_tokens"], answer["stopped"], answer["checks"]
    return rows


def _optional(wanted: Mapping[str, Path], name: str) -> dict[str, Any] | None:
    path = wanted.get(name)
    if path is None or not path.is_file():
        return None
    record = read_json(path)
    if not isinstance(record, dict):
        raise UserError(
            expected=f"a JSON object in {path}",
            got=f"a {type(record).__name__}",
            remedy="remove the file or write it again",
        )
    return record
