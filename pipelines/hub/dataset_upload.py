"""Upload a dataset folder: Parquet files, card and manifest. The rows that cleaning left out or changed stay here."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from data_prep.dataset_folder import SPLITS, read_manifest, split_files
from data_prep.dataset_folder.card import without_local_paths as command_without_paths
from pipelines.errors import UserError
from pipelines.hub.local_paths import without_local_paths
from pipelines.hub.repository import Branch, Repository, writable_repository
from pipelines.hub.upload import upload
from pipelines.hub.upload_files import CARD, UploadFile
from pipelines.hub.upload_plan import MAIN, UploadPlan

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class DatasetPlan(UploadPlan):
    """The files of a dataset folder that one branch of a dataset repository is to hold; `kind` is the manifest's."""

    kind: str = ""

    def owns(self, name: str) -> bool:
        """Whether a push of a dataset folder writes files of this name."""
        return name in (CARD, _MANIFEST) or fnmatch(name, "data/*.parquet")

    def refuse_foreign(self, repo_id: str, there: Branch) -> None:
        """Raise `UserError` unless the branch is new or holds an earlier push of a dataset folder of this kind."""
        taken = [name for name in there.files if self.owns(name)]
        if not taken or there.is_copy:
            return
        fix = "choose another repository or branch, or push with --overwrite (the old commits stay in the history)"
        if there.record is None or "content_sha256" not in there.record:
            raise UserError(f"branch {there.name} of {repo_id} holds unrelated files ({', '.join(taken[:3])})", fix)
        if there.record.get("kind") != self.kind:
            found = f"branch {there.name} of {repo_id} holds {there.record.get('kind')}, expected {self.kind}"
            raise UserError(found, fix)


def dataset_plan(folder: Path, branch: str = MAIN) -> DatasetPlan:
    """Return what to upload of a dataset folder. rejected.jsonl and changed.jsonl are left out: they quote what was
    removed, such as personal data and test sets. The card and the manifest have the counts.

    Raises `UserError` if `folder` is not a whole dataset folder.
    """
    manifest = read_manifest(folder)
    paths = [path for split in SPLITS for path in split_files(folder, split)]
    _refuse_incomplete(folder, manifest["n_rows"])
    if not (folder / CARD).is_file():
        raise UserError(f"{folder} has no {CARD}", "build the dataset folder again")
    public = {**without_local_paths(manifest), "command": command_without_paths(manifest["command"])}
    text = json.dumps(public, indent=2, ensure_ascii=False) + "\n"
    described = [UploadFile(CARD, folder / CARD), UploadFile(_MANIFEST, text.encode())]
    data = [UploadFile(f"data/{path.name}", path) for path in paths]
    return DatasetPlan(branch, [*described, *data], manifest["kind"])


def _refuse_incomplete(folder: Path, n_rows: dict[str, int]) -> None:
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    for split, expected in n_rows.items():
        try:
            found = sum(read_metadata(path).num_rows for path in split_files(folder, split))
        except (ArrowException, OSError) as error:
            raise UserError(f"{folder} has a broken Parquet file of {split}", "build it again") from error
        if found != expected:
            problem = f"{split} of {folder} has {found:,} rows, expected {expected:,} as in its manifest"
            raise UserError(problem, "build the dataset folder again")


def writable_dataset(repo_id: str, token: str | None = None) -> Repository:
    """Return the dataset repository `repo_id` (NAME or NAMESPACE/NAME), existing or still to be created.

    Raises `UserError` for an invalid name, and for a token that may not
    write there.
    """
    return writable_repository(repo_id, token, repo_type="dataset")


def build_and_push(build: Callable[[], None], folder: Path, repo_id: str, *, private: bool = True) -> None:
    """Check name and token, call `build`, which writes the dataset folder, then upload it and print its address."""
    writable_dataset(repo_id)
    build()
    print(push_dataset_folder(folder, repo_id, private=private))


def push_dataset_folder(
    folder: Path, repo_id: str, *, private: bool = True, overwrite: bool = False, token: str | None = None
) -> str:
    """Upload a dataset folder in one commit, and return a line with its address and commit. A new repository is
    `private` or public, an existing one stays as it is.

    Raises `UserError` for a folder that is not whole, secrets in any file or row, a token that may not write there, and
    a repository that holds something else (unless `overwrite`).
    """
    plan = dataset_plan(folder)
    [line] = upload(writable_dataset(repo_id, token), [plan], private=private, overwrite=overwrite)
    return line
