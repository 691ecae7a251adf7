"""Download the files of a dataset on the Hub, at one revision; no code of a dataset is run."""

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import ROW_SUFFIXES, row_suffix
from data_prep.sources.source_files.row_folders import PICKLE_SUFFIXES
from data_prep.sources.source_files.splits import chosen_splits
from pipelines.errors import UserError

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_FILE_SUFFIX = re.compile(r"\.(json|jsonl|ndjson|csv|tsv|parquet|arrow|gz|zst|xz|txt|md|rst|py)(@|$)")
_URL = re.compile(r"^hf://datasets/[^/]+/[^/]+@[^/]+/")


def is_hub_id(name: str) -> bool:
    """Whether a source that is not a path can be a Hub id: `owner/name` or `owner/name@revision`."""
    return _HUB_ID.fullmatch(name) is not None and _FILE_SUFFIX.search(name) is None and not name.startswith(".")


@dataclass(frozen=True)
class HubFiles:
    """Files of one revision of a dataset, downloaded to `folder`, and the manifest's entries about them."""

    folder: Path
    names: list[str]
    entry: dict[str, Any]


def hub_files(name: str, split: str | None, config: str | None) -> HubFiles:
    """Return the files of `owner/name@revision`, those of the wanted splits.

    Raises `UserError` if the Hub cannot be reached, or if only code can read the dataset.
    """
    from datasets.exceptions import DatasetsError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import httpx  # the client it uses, whatever its version; re-exported for this

    repository, _, revision = name.partition("@")
    try:
        info = HfApi().dataset_info(repository, revision=revision or None)
        _refuse_code(repository, [one.rfilename for one in info.siblings or ()])
        files = _files_of_splits(repository, config, str(info.sha))
        splits = chosen_splits(list(files), split, name)
        names = [one for split_name in splits for one in files[split_name]]
        patterns = [glob.escape(one) for one in names]
        folder = snapshot_download(repository, repo_type="dataset", revision=info.sha, allow_patterns=patterns)
    except (OSError, ValueError, DatasetsError, httpx.HTTPError) as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        problem = f"{name} is not a path, and reading it from the Hub failed with {reason}"
        raise UserError(problem, "check the path, or the network and HF_HUB_OFFLINE") from error
    entry: dict[str, Any] = {"format": "hub", "revision": str(info.sha)}
    if config:
        entry["config"] = config
    if len(files) > 1:
        entry |= {"splits": splits, "splits_not_read": [one for one in files if one not in splits]}
    return HubFiles(Path(folder), names, entry)


def _files_of_splits(repository: str, config: str | None, revision: str) -> dict[str, list[str]]:
    """Return the names of the files of each split. Raises `UserError` if there are several configurations."""
    from datasets import get_dataset_config_names, load_dataset_builder

    try:
        files = load_dataset_builder(repository, config, revision=revision).config.data_files or {}
    except ValueError as error:
        configs = get_dataset_config_names(repository, revision=revision)
        if config in configs or (config is None and len(configs) < 2):
            raise
        unlike = f", not {config}" if config else ""
        problem = f"{repository} has the configurations {', '.join(configs)}{unlike}"
        raise UserError(problem, "choose one with --dataset_config") from error
    return {str(split): [_URL.sub("", str(url)) for url in urls] for split, urls in files.items()}


def _refuse_code(repository: str, names: Sequence[str]) -> None:
    """Raise `UserError` for a dataset that only code can read."""
    script = f"{repository.rpartition('/')[2]}.py"
    if script in names:
        fix = f"try the Hub's own conversion, {repository}@refs/convert/parquet"
        raise UserError(f"{repository} has a loading script, {script}, and no code of a dataset is run", fix)
    pickles = [name for name in names if Path(name).suffix.lower() in PICKLE_SUFFIXES]
    if pickles and not any(row_suffix(Path(name)) in ROW_SUFFIXES for name in names):
        problem = f"{repository} has its rows in a pickle, {pickles[0]}, which can run any code when it is read"
        raise UserError(problem, "convert it to Parquet in a place where you trust it")
