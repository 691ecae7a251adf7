"""The base model that a pushed adapter names: a Hub id and a commit with the weights that it was trained on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.hf_api import DatasetInfo, ModelInfo
from huggingface_hub.utils.sha import git_hash

from pipelines.errors import UserError
from pipelines.files import sha256_of_file
from pipelines.hub.access import invalid_name_reason
from pipelines.hub.repository import Repository

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubBase:
    """A model on the Hub. `commit` is None where the run could not resolve one."""

    repo_id: str
    commit: str | None

    def to_json(self) -> dict[str, Any]:
        """The lock's keys for a base on the Hub."""
        fingerprint = f"hub:{self.repo_id}@{self.commit or 'main'}"
        return {"name_or_path": self.repo_id, "revision": self.commit, "fingerprint": fingerprint}


def hub_base(
    base: Mapping[str, Any] | None, named: str | None, repository: Repository | None, *, is_needed: bool = True
) -> HubBase | None:
    """The Hub's copy of the `base` of a lock; None for a model from scratch.

    `named` (HUB_ID or HUB_ID@REVISION) is required for a base in a local folder, unless `is_needed` is false: a whole
    model loads without its base. Raises `UserError` if it is missing, or if the Hub's weights differ from the folder's.
    Without a `repository` the Hub is not asked and the weights are not compared.
    """
    if base is None:
        return None
    trained_on, fingerprint = str(base["name_or_path"]), str(base.get("fingerprint") or "")
    if fingerprint.startswith("hub:"):
        repo_id, _, commit = fingerprint.removeprefix("hub:").rpartition("@")
        if named is not None and named.partition("@")[0] != repo_id:
            raise UserError(f"--base_model is {named}, but the run was trained on {repo_id}", "leave out --base_model")
        return HubBase(repo_id, commit if _COMMIT.fullmatch(commit) else None)
    if named is None and not is_needed:
        return None
    if named is None:
        raise UserError(
            f"the base of this run is the local folder {Path(trained_on).name}, and an adapter needs a base on the Hub",
            "push that model too and name it with --base_model ID (hub_base_model in a recipe)",
        )
    repo_id, _, revision = named.partition("@")
    if reason := invalid_name_reason(repo_id):
        raise UserError(f"--base_model is {named}, expected a Hub ID or ID@REVISION: {reason}", "correct the name")
    if repository is None:
        return HubBase(repo_id, revision if _COMMIT.fullmatch(revision) else None)
    info = repository.with_retries(lambda: repository.info(repo_id, revision or None, files_metadata=True), repo_id)
    _refuse_other_weights(Path(trained_on), info, named)
    return HubBase(repo_id, info.sha)


def _refuse_other_weights(folder: Path, info: ModelInfo | DatasetInfo, named: str) -> None:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise UserError(
            f"{folder} has no safetensors weights to compare with {named}", "push from the machine that has the base"
        )
    on_hub = {one.rfilename: one for one in info.siblings or []}
    others = [path.name for path in weights if not _is_same(path, on_hub.get(path.name))]
    if others:
        raise UserError(
            f"the run was trained on {folder}, and {named} has different weights or none in {', '.join(others)}",
            "name the model on the Hub that this folder is a copy of, or push the folder and name that",
        )


def _is_same(path: Path, on_hub: Any) -> bool:
    """Whether the Hub's file has the content of `path`, by SHA-256 (LFS) or git's hash."""
    if on_hub is None:
        return False
    if on_hub.lfs is not None:
        return bool(on_hub.lfs.sha256 == sha256_of_file(path))
    return bool(on_hub.blob_id == git_hash(path.read_bytes()))
