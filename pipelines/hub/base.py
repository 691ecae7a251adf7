"""The base that a pushed adapter names: an id and a commit of the Hub, with the very weights it was trained on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils.sha import git_hash

from pipelines.errors import UserError
from pipelines.files import sha256_of_file
from pipelines.hub.access import name_fault
from pipelines.hub.repository import Repository

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubBase:
    """A model on the Hub. `commit` is None where the run could not resolve one."""

    repo_id: str
    commit: str | None

    def to_json(self) -> dict[str, Any]:
        """What a lock says of a base of the Hub."""
        fingerprint = f"hub:{self.repo_id}@{self.commit or 'main'}"
        return {"name_or_path": self.repo_id, "revision": self.commit, "fingerprint": fingerprint}


def hub_base(
    base: Mapping[str, Any] | None, named: str | None, repository: Repository | None, *, is_needed: bool = True
) -> HubBase | None:
    """Where the Hub has the `base` of a lock; None for a model that was trained from scratch.

    For a base in a local folder that is `named`, HUB_ID or HUB_ID@REVISION. `is_needed` is false for a whole model,
    which loads without its base: then None is given where none is named. Raises `UserError` if none is named, and if
    the weights there are others than those in the folder: the adapter would be loaded onto a model it does not fit.
    Without a `repository` the Hub is not asked, and the `named` base is not compared with the folder.
    """
    if base is None:
        return None
    trained_on, fingerprint = str(base["name_or_path"]), str(base.get("fingerprint") or "")
    if fingerprint.startswith("hub:"):
        repo_id, _, commit = fingerprint.removeprefix("hub:").rpartition("@")
        _refuse_other_name(repo_id, named)
        return HubBase(repo_id, commit if _COMMIT.fullmatch(commit) else None)
    if named is None and not is_needed:
        return None
    if named is None:
        raise UserError(
            expected="a base on the Hub, for the adapter's readers to load",
            got=f"a run on the local folder {Path(trained_on).name}",
            remedy="push that model too and name it: --base_model ID (hub_base_model in a recipe)",
        )
    repo_id, _, revision = named.partition("@")
    if fault := name_fault(repo_id):
        raise UserError(expected="--base_model as ID or ID@REVISION of the Hub", got=fault, remedy="correct the name")
    if repository is None:
        return HubBase(repo_id, revision if _COMMIT.fullmatch(revision) else None)
    info = repository.persistently(lambda: repository.info(repo_id, revision or None, files_metadata=True), repo_id)
    _refuse_other_weights(Path(trained_on), info, named)
    return HubBase(repo_id, info.sha)


def _refuse_other_name(trained_on: str, named: str | None) -> None:
    if named is not None and named.partition("@")[0] != trained_on:
        raise UserError(
            expected=f"the base that the run was trained on, {trained_on}", got=named, remedy="leave --base_model out"
        )


def _refuse_other_weights(folder: Path, info: ModelInfo, named: str) -> None:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise UserError(
            expected=f"the base's weights in safetensors in {folder}, to compare them with {named}",
            got="none",
            remedy="push from where the base lies",
        )
    there = {one.rfilename: one for one in info.siblings or []}
    others = [path.name for path in weights if not _is_same(path, there.get(path.name))]
    if others:
        raise UserError(
            expected=f"{named} to have the weights of {folder}, which the run was trained on",
            got=f"other ones or none in {', '.join(others)}",
            remedy="name the model on the Hub that this folder is a copy of, or push the folder and name that",
        )


def _is_same(path: Path, there: Any) -> bool:
    """Whether the Hub's file has the content of `path`: by SHA-256 where it is stored as LFS, else by git's hash."""
    if there is None:
        return False
    if there.lfs is not None:
        return bool(there.lfs.sha256 == sha256_of_file(path))
    return bool(there.blob_id == git_hash(path.read_bytes()))
