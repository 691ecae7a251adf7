"""Download the files of rows of a dataset on the Hub, at one revision; no code of a dataset is run."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import ROW_SUFFIXES, row_suffix
from data_prep.sources.row_units import RowFile
from data_prep.sources.source_files.row_folders import FORMAT_OF_SUFFIX, PICKLE_SUFFIXES
from data_prep.sources.source_files.splits import chosen_splits
from pipelines.errors import UserError

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_FILE_SUFFIX = re.compile(r"\.(json|jsonl|ndjson|csv|tsv|parquet|arrow|gz|zst|xz|txt|md|rst|py)(@|$)")
_URL = re.compile(r"hf://datasets/[^/]+/[^/]+@[^/]+/(.+)")


def is_hub_id(name: str) -> bool:
    """Whether a source that is not a path can be a Hub id: `owner/name` or `owner/name@revision`."""
    return _HUB_ID.fullmatch(name) is not None and _FILE_SUFFIX.search(name) is None and not name.startswith(".")


def hub_files(name: str, split: str | None, config: str | None) -> tuple[list[RowFile], dict[str, Any]]:
    """Return the downloaded files of rows of `owner/name@revision`, and the manifest's entries about them.

    Raises `UserError` if the Hub cannot be reached, or if the dataset has no files of rows.
    """
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import httpx  # the client it uses, whatever its version; re-exported for this

    repository, _, revision = name.partition("@")
    try:
        info = HfApi().dataset_info(repository, revision=revision or None)
        _refuse_code(repository, [one.rfilename for one in info.siblings or ()])
        files = load_dataset_builder(repository, config, revision=info.sha).config.data_files or {}
        splits = chosen_splits([str(one) for one in files], split, name)
        paths = [_path_in_repository(str(url), name) for one in splits for url in files[one]]
        patterns = [glob.escape(path) for path in paths]
        folder = Path(snapshot_download(repository, repo_type="dataset", revision=info.sha, allow_patterns=patterns))
    except (OSError, ValueError, DatasetsError, httpx.HTTPError) as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        problem = f"{name} is not a path, and reading it from the Hub failed with {reason}"
        raise UserError(problem, "check the path, or the network and HF_HUB_OFFLINE") from error
    entry: dict[str, Any] = {"format": "hub", "revision": str(info.sha)}
    if len(files) > 1:
        entry |= {"splits": splits, "splits_not_read": [str(one) for one in files if str(one) not in splits]}
    is_one = len(paths) == 1
    return [
        RowFile(folder / path, "" if is_one else path, FORMAT_OF_SUFFIX[row_suffix(Path(path))]) for path in paths
    ], entry


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


def _path_in_repository(url: str, name: str) -> str:
    found = _URL.fullmatch(url)
    if found is None or row_suffix(Path(found[1])) not in ROW_SUFFIXES:
        problem = (
            f"{name} has its rows in {found[1] if found else url}, expected files ending in {', '.join(ROW_SUFFIXES)}"
        )
        raise UserError(problem, "download it and convert it")
    return found[1]
