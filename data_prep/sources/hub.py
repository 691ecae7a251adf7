"""Read rows of a dataset on the Hub, with the revision that was read."""

import re
from typing import Any

from data_prep.dataset_folder import load_rows
from pipelines.errors import UserError

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_FILE_SUFFIX = re.compile(r"\.(json|jsonl|ndjson|csv|parquet|gz|txt|md|rst|py)(@|$)")


def is_hub_id(name: str) -> bool:
    """Whether a source that is not a path can be a Hub id: `owner/name` or `owner/name@revision`."""
    return _HUB_ID.fullmatch(name) is not None and _FILE_SUFFIX.search(name) is None and not name.startswith(".")


def read_hub_rows(name: str) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of the train split and the commit. Raises `UserError` if the Hub cannot be reached."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import HfApi
    from huggingface_hub.utils import httpx  # the client it uses, whatever its version; re-exported for this

    repository, _, revision = name.partition("@")
    try:
        commit = HfApi().dataset_info(repository, revision=revision or None).sha
        rows = list(load_rows(repository, "train", revision=commit))
    except (OSError, ValueError, DatasetNotFoundError, httpx.HTTPError) as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        problem = f"{name} is not a path, and reading it from the Hub failed with {reason}"
        raise UserError(problem, "check the path, or the network and HF_HUB_OFFLINE") from error
    return rows, str(commit)
