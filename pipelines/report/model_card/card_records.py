"""Files -> what a card is made from. All but run.json may be missing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.records import read_record
from pipelines.report.comparison_record import Comparison, Model
from pipelines.report.reading import Records, optional_record, read_records


@dataclass(frozen=True)
class CardRecords:
    """The records of a run and, if it was compared, of its comparison: `comparison` has the base and this model alone.

    `manifest` is that of the dataset folder that was trained on, None where it is gone or another one by now; `before`
    has (name, lock) of each adapter that the run continues, the nearest first, the lock None where there is none.
    """

    folder: Path
    run: Mapping[str, Any]
    lock: Mapping[str, Any] | None = None
    ledger: Mapping[str, Any] | None = None
    log_history: tuple[Mapping[str, Any], ...] = ()
    adapter: Mapping[str, Any] | None = None
    manifest: Mapping[str, Any] | None = None
    before: tuple[tuple[str, Mapping[str, Any] | None], ...] = ()
    comparison: Comparison | None = None
    responses: tuple[Mapping[str, Any], ...] = ()
    benchmark: Mapping[str, Any] | None = None
    served: Mapping[str, Any] | None = None

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The keys that were set."""
        return self.run.get("recipe") or {}

    @property
    def model(self) -> Model | None:
        """This run's model in the comparison."""
        return self.comparison.others[0] if self.comparison else None


def read_card_records(run_folder: Path, comparison_folder: Path | None) -> CardRecords:
    """Read what the folders hold.

    Raises `UserError` without run.json, for a broken record, and for a comparison in which this run is not.
    """
    run = read_record(run_folder / "run.json")
    state = optional_record(run_folder / "trainer_state.json") or {}
    records = CardRecords(
        folder=run_folder,
        run=run,
        lock=optional_record(run_folder / "lock.json"),
        ledger=optional_record(run_folder / "ledger.json"),
        log_history=tuple(state.get("log_history") or ()),
        adapter=optional_record(run_folder / "adapter_config.json"),
        served=optional_record(run_folder / "served.json"),
        manifest=_manifest(run),
        before=_before(run),
    )
    if comparison_folder is None:
        return records
    compared: Records = read_records(comparison_folder, None)
    model = _own_model(compared.comparison, run_folder, comparison_folder)
    return replace(
        records,
        comparison=replace(compared.comparison, others=(model,)),
        responses=compared.responses,
        benchmark=compared.benchmark,
    )


def _manifest(run: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The manifest of the dataset folder, if the folder still holds as many rows as the run was given."""
    dataset, recipe = run.get("dataset") or {}, run.get("recipe") or {}
    if not dataset.get("path"):
        return None
    manifest = optional_record(Path(str(dataset["path"])) / "manifest.json")
    if manifest is None or not isinstance(manifest.get("n_rows"), dict):
        return None
    n_rows = manifest["n_rows"].get(recipe.get("dataset_train_split") or "train")
    return manifest if dataset.get("n_rows") in (None, n_rows) else None


def _before(run: Mapping[str, Any]) -> tuple[tuple[str, Mapping[str, Any] | None], ...]:
    """The adapters that the run continues. A folder that occurs again ends the list."""
    found: dict[str, Mapping[str, Any] | None] = {}
    path = (run.get("adapter") or {}).get("path")
    while path and path not in found:
        lock = found[path] = optional_record(Path(str(path)) / "lock.json")
        path = ((lock or {}).get("adapter") or {}).get("name_or_path")
    return tuple(found.items())


def _own_model(comparison: Comparison, run_folder: Path, comparison_folder: Path) -> Model:
    """The model of the comparison that is in `run_folder`, or was in a folder of that name that is gone."""
    here = run_folder.resolve()
    for model in comparison.others:
        if Path(model.path).resolve() == here:
            return model
    for model in comparison.others:  # a folder that is still there is another run's
        if Path(model.path).name == here.name and not Path(model.path).exists():
            return model
    raise UserError(
        f"{run_folder} is not among the models of {comparison_folder / 'comparison.json'}: "
        + ", ".join(model.path for model in comparison.others),
        f"compare this run: python pipelines/compare.py --base BASE --instruct {run_folder} --prompts PROMPTS",
    )
