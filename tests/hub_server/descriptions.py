"""What the Hub says of a repository: its facts, its tree, its files."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import yaml

from tests.hub_server.answers import Refusal
from tests.hub_server.storage import Commit, Repository, StoredFile


def commit_of(repository: Repository, revision: str) -> Commit:
    """The commit of a revision, refused in the Hub's words where there is none."""
    commit = repository.commit(revision)
    if commit is None:
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def repository_info(repository: Repository, commit: Commit, *, with_blobs: bool) -> dict[str, Any]:
    """The answer to a question about a model or a dataset."""
    card = _card(repository, commit)
    history = repository.commits(commit.oid)
    return {
        "_id": history[-1].oid[:24],
        "id": repository.repo_id,
        "modelId": repository.repo_id,
        "author": repository.namespace,
        "sha": commit.oid,
        "createdAt": history[-1].date,
        "lastModified": commit.date,
        "private": repository.private,
        "gated": repository.settings["gated"],
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": card.get("tags") or [],
        "library_name": card.get("library_name"),
        "pipeline_tag": card.get("pipeline_tag"),
        "cardData": card,
        "siblings": [_sibling(path, file, with_blobs) for path, file in sorted(commit.files.items())],
    }


def _sibling(path: str, file: StoredFile, with_blobs: bool) -> dict[str, Any]:
    if not with_blobs:
        return {"rfilename": path}
    described: dict[str, Any] = {"rfilename": path, "size": file.size, "blobId": file.git_oid}
    if file.lfs:
        described["lfs"] = {"size": file.size, "sha256": file.sha256, "pointerSize": file.pointer_size}
    return described


def _card(repository: Repository, commit: Commit) -> dict[str, Any]:
    readme = commit.files.get("README.md")
    text = repository.content(readme.sha256).decode(errors="replace") if readme else ""
    metadata = front_matter(text)
    return metadata if isinstance(metadata, dict) else {}


def front_matter(text: str) -> Any:
    """The YAML between the two lines of three dashes that a card begins with, None where there is none."""
    parts = text.split("---", 2)
    return yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None


def described_path(repository: Repository, commit: Commit, path: str, *, expand: bool) -> dict[str, Any] | None:
    """One entry of a tree, a file or a folder; None where the commit has no such path."""
    if path in commit.files:
        file = commit.files[path]
        entry: dict[str, Any] = {"type": "file", "oid": file.git_oid, "size": file.size, "path": path}
        if file.lfs:
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    elif any(name.startswith(f"{path}/") for name in commit.files):
        entry = {"type": "directory", "oid": commit.oid, "size": 0, "path": path}
    else:
        return None
    if expand:
        last = _last_change(repository, commit, path)
        entry["lastCommit"] = {"id": last.oid, "title": last.title, "date": last.date}
    return entry


def _last_change(repository: Repository, commit: Commit, path: str) -> Commit:
    history = repository.commits(commit.oid)
    for newer, older in pairwise(history):
        if _below(newer, path) != _below(older, path):
            return newer
    return history[-1]


def _below(commit: Commit, path: str) -> dict[str, StoredFile]:
    return {name: file for name, file in commit.files.items() if name == path or name.startswith(f"{path}/")}


def tree_paths(commit: Commit, folder: str, *, recursive: bool) -> list[str]:
    """The paths in a folder ("" is the root), those of sub-folders too where `recursive`, folders among them."""
    files = [name for name in commit.files if not folder or name.startswith(f"{folder}/")]
    if folder and not files:
        raise Refusal(404, f"{folder} does not exist on {commit.oid}", "EntryNotFound")
    depth = len(PurePosixPath(folder).parts)
    paths = set(files) | set(_folders(files))
    deep = {path for path in paths if len(PurePosixPath(path).parts) > depth}
    return sorted(path for path in deep if recursive or len(PurePosixPath(path).parts) == depth + 1)


def _folders(files: Iterable[str]) -> Iterable[str]:
    for name in files:
        yield from (str(parent) for parent in PurePosixPath(name).parents if str(parent) != ".")
