"""What the model is: its name, the base and the rows that it was made from, and how it was trained."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.hub.access import invalid_name_reason
from pipelines.hub.local_paths import without_local_paths
from pipelines.report.model_card.card_records import CardRecords

_STAGES = {
    "sft": ("fine-tuned (SFT)", "rows"),
    "dpo": ("tuned to preferences (DPO)", "pairs"),
    "pretrain": ("pretrained", "rows"),
}
_HUB = "hub:"  # what a fingerprint begins with where the base was taken from the Hub


@dataclass(frozen=True)
class Identity:
    """`base` is the name to show, empty for a model from scratch; `base_id` its Hub id, None where it has none.

    `adapter` is the one that was gone on from, empty without one; `datasets` are the Hub ids of what was trained on,
    each with its commit; `kind` is "a LoRA adapter of rank 16" or "a full model".
    """

    name: str
    kind: str
    is_adapter: bool
    base: str
    base_id: str | None
    adapter: str
    stage: str
    rows: str
    dataset: str
    datasets: tuple[tuple[str, str], ...]


def is_repo_id(name: str) -> bool:
    """Whether `name` can be the id of a repository, by the Hub's own rule."""
    return invalid_name_reason(name) is None


def identity_of(records: CardRecords, repo_id: str | None, base_model: str | None) -> Identity:
    """Who the model of `records` is. Raises `UserError` for a `base_model` that is no ID or ID@REVISION."""
    base_model = base_model and base_model.partition("@")[0]
    if base_model is not None and not is_repo_id(base_model):
        problem = f"base_model is {base_model}, expected a Hub id such as org/name"
        raise UserError(problem, "give the id under which the base can be loaded")
    run = records.run
    base, dataset = run.get("base") or {}, run.get("dataset") or {}
    stage, unit = _STAGES.get(str(run.get("program")), ("trained", "rows"))
    n_rows = dataset.get("n_rows")
    path, adapter = str(base.get("path") or ""), run.get("adapter") or {}
    is_on_the_hub = str(base.get("fingerprint") or "").startswith(_HUB) and is_repo_id(path)
    return Identity(
        name=Path(repo_id or records.folder.resolve()).name,
        kind=adapter_kind(records) if records.adapter is not None else "a full model",
        is_adapter=records.adapter is not None,
        base=base_model or without_local_paths(path),
        base_id=base_model or (path if is_on_the_hub else None),
        adapter=without_local_paths(str(adapter.get("path") or "")),
        stage=stage,
        rows=f"{n_rows:,} {unit}" if isinstance(n_rows, int) else unit,
        dataset=_shown_paths(str(dataset.get("path") or "a dataset that was not recorded")),
        datasets=tuple(_hub_datasets(records)),
    )


def _shown_paths(paths: str) -> str:
    """The entries of a mixture as records have them, each without its folders."""
    return "".join(without_local_paths(re.split(r"( \+ |, )", paths)))


def adapter_kind(records: CardRecords) -> str:
    """ "a QLoRA adapter of rank 16", by adapter_config.json and the recipe."""
    adapter = records.adapter or {}
    name = str(adapter.get("peft_type") or "PEFT").replace("LORA", "LoRA")
    if adapter.get("use_dora"):
        name = "DoRA"
    elif adapter.get("use_rslora"):
        name = "rsLoRA"
    if records.recipe.get("load_in_4bit"):
        name = f"Q{name}"
    rank = adapter.get("r")
    return f"a {name} adapter" + (f" of rank {rank}" if isinstance(rank, int) else "")


def _hub_datasets(records: CardRecords) -> list[tuple[str, str]]:
    """What a commit is on record for: the lock's datasets and their parts, and the sources of the dataset folder."""
    found: dict[str, str] = {}
    for dataset in (records.lock or {}).get("datasets") or ():
        found |= _with_commit("path", [dataset, *(dataset.get("parts") or ())])
    found |= _with_commit("name", (records.manifest or {}).get("sources") or ())
    return list(found.items())


def _with_commit(key: str, sources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    named = {str(source.get(key)): source.get("revision") for source in sources}
    return {name: str(commit) for name, commit in named.items() if commit and is_repo_id(name)}
