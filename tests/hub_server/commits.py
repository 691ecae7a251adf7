"""Commits: how each file is to be sent, and a list of changes that becomes a new revision or none at all."""

import base64
import json
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from tests.hub_server.accounts import Account
from tests.hub_server.answers import Answer, Refusal, Request, json_answer
from tests.hub_server.descriptions import commit_of
from tests.hub_server.storage import Commit, Repository, StoredFile

_LARGEST_REGULAR_FILE = 10_000_000  # bytes; the Hub takes larger ones as LFS only


def upload_modes(repository: Repository, revision: str, request: Request) -> Answer:
    """For each file whether it goes into the commit or to the LFS storage, and what the Hub holds under its name."""
    commit = _branch_head(repository, revision)
    patterns = _lfs_patterns(repository, commit)
    ignored = [line for line in request.json().get("gitIgnore", "").splitlines() if line and line[0] not in "#!"]
    modes: list[dict[str, Any]] = []
    for file in request.json()["files"]:
        name = PurePosixPath(file["path"]).name
        large = file["size"] > _LARGEST_REGULAR_FILE or any(fnmatch(name, pattern) for pattern in patterns)
        held = commit.files.get(file["path"])
        modes.append(
            {
                "path": file["path"],
                "uploadMode": "lfs" if large else "regular",
                "shouldIgnore": any(fnmatch(file["path"], pattern) or fnmatch(name, pattern) for pattern in ignored),
                "oid": held.remote_oid if held else None,
            }
        )
    return json_answer({"files": modes})


def _lfs_patterns(repository: Repository, commit: Commit) -> list[str]:
    attributes = commit.files.get(".gitattributes")
    lines = repository.content(attributes.sha256).decode().splitlines() if attributes else []
    return [line.split()[0] for line in lines if "filter=lfs" in line]


def add_commit(repository: Repository, revision: str, request: Request, author: Account, url: str) -> Answer:
    """Carry out the lines of a commit, all of them or none."""
    if request.flag("create_pr"):
        raise Refusal(403, "pull requests are closed on this repository")
    header, *changes = [json.loads(line) for line in request.body.splitlines()]
    head, words = _branch_head(repository, revision), header["value"]
    if not head.oid.startswith(words.get("parentCommit") or head.oid):
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    files = dict(head.files)
    for change in changes:
        _apply(repository, files, change["key"], change["value"])
    title, message = words["summary"], words.get("description", "")
    oid = repository.add_commit(revision, files, title=title, message=message, author=author.name)
    prefix = "datasets/" if repository.repo_type == "dataset" else ""
    commit_url = f"{url}/{prefix}{repository.repo_id}/commit/{oid}"
    return json_answer({"success": True, "commitUrl": commit_url, "commitOid": oid, "hookOutput": ""})


def _branch_head(repository: Repository, revision: str) -> Commit:
    """The commit that a branch points at; tags and ids can be read but not committed to."""
    if revision not in repository.branches:
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit_of(repository, revision)


def _apply(repository: Repository, files: dict[str, StoredFile], key: str, value: dict[str, Any]) -> None:
    path = value["path"]
    if path.startswith("/") or ".." in path.split("/"):
        raise Refusal(400, f"{path} is no path in a repository")
    if key == "file":
        files[path] = repository.store(base64.b64decode(value["content"]), lfs=False)
    elif key == "lfsFile":
        if not repository.has_content(value["oid"]):
            raise Refusal(400, f"LFS object {value['oid']} of {path} was not uploaded")
        files[path] = repository.stored_file(value["oid"], lfs=True)
    elif key in ("deletedFile", "deletedFolder"):
        below = f"{path.rstrip('/')}/"
        gone = [name for name in files if name == path or (key == "deletedFolder" and name.startswith(below))]
        if not gone:
            raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for name in gone:
            del files[name]
    else:
        raise Refusal(400, f"unknown change {key}")
