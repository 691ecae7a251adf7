"""The card's YAML, in huggingface_hub's own classes: what the Hub filters, links and lists a model by."""

from collections.abc import Iterator
from pathlib import PureWindowsPath
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from pipelines.files.visible_text import one_line
from pipelines.report.model_card.card_records import CardRecords
from pipelines.report.model_card.identity import Identity, is_repo_id
from pipelines.report.model_card.licenses import LicenseProposal
from pipelines.report.model_card.loading import why_peft_only

TASK = "text-generation"
_URL = "https://huggingface.co/"
_MAX_NAME = 96  # characters: the longest name that a repository may have


def card_metadata(
    records: CardRecords, identity: Identity, license: LicenseProposal, repo_id: str | None, revision: str | None = None
) -> ModelCardData:
    """The metadata; a key without a record behind it is left out. The language is: no record says it."""
    relation = "adapter" if identity.is_adapter else "finetune"
    folder = f"{_URL}{repo_id}/blob/{revision or 'main'}" if repo_id and is_repo_id(repo_id) else None
    results = [*_measures(records, identity, folder), *_tasks(records, folder)]
    return ModelCardData(
        base_model=identity.base_id,
        base_model_relation=relation if identity.base_id else None,
        library_name="peft" if identity.is_adapter else "transformers",
        pipeline_tag=TASK,
        license=license.identifier,
        license_name=license.name,
        datasets=[name for name, _ in identity.datasets] or None,
        tags=_tags(records, identity),
        model_name=one_line(identity.name, _MAX_NAME) if results else None,
        eval_results=results or None,
    )


def _tags(records: CardRecords, identity: Identity) -> list[str]:
    adapter = records.adapter or {}
    method = "dora" if adapter.get("use_dora") else str(adapter.get("peft_type") or "").lower()
    stage = one_line(str(records.run.get("program") or ""), 40)
    tags = ["base2instruct", "trl" if stage in ("sft", "dpo") else "", stage, one_line(method, 40)]
    # by which the Hub offers to load it with transformers alone
    is_for_transformers = identity.is_adapter and not why_peft_only(adapter)
    return [*filter(None, tags), *(["transformers"] if is_for_transformers else [])]


def _measures(records: CardRecords, identity: Identity, folder: str | None) -> Iterator[EvalResult]:
    """Each measure of the comparison, with the value as it is on record."""
    if records.comparison is None or records.model is None:
        return
    prompts = records.comparison.record["prompts"]
    path, on_the_hub = str(prompts.get("path") or "prompts"), dict(identity.datasets)
    # of a local folder the last part alone: "data/rows" would be somebody's dataset on the Hub
    name = PureWindowsPath(path).name or "prompts"  # which takes both kinds of slashes; the Hub takes no empty name
    dataset = path if path in on_the_hub else one_line(name, _MAX_NAME)
    for measure in records.comparison.measures:
        figure = records.model.figures.get(measure.name)
        if figure is not None:
            yield EvalResult(
                task_type=TASK,
                dataset_type=dataset,
                dataset_name=dataset,
                dataset_split=prompts.get("split"),
                dataset_revision=on_the_hub.get(path),
                metric_type=one_line(measure.name, _MAX_NAME),
                metric_name=one_line(measure.full_label, _MAX_NAME),
                metric_value=figure.value,
                **_source(folder, "comparison.json"),
            )


def _tasks(records: CardRecords, folder: str | None) -> Iterator[EvalResult]:
    """Each task of the benchmarks next to the comparison."""
    name = records.model.name if records.model else None
    for row in (records.benchmark or {}).get("results") or ():
        value = (row["models"].get(name) or {}).get("value")
        if value is not None:
            task = one_line(str(row["task"]), _MAX_NAME)
            yield EvalResult(
                task_type=TASK,
                dataset_type=task,
                dataset_name=task,
                dataset_args={"num_few_shot": row["n_shot"]},
                metric_type=one_line(str(row["metric"]), _MAX_NAME),
                metric_value=value,
                **_source(folder, "benchmark.json"),
            )


def _source(folder: str | None, record: str) -> dict[str, Any]:
    """The record in the repository; nothing where the model is in none."""
    return {} if folder is None else {"source_name": record, "source_url": f"{folder}/{record}"}
