"""Repositories in a folder: immutable commits, branches and tags that point at them, and the contents by their hash.

root/models/ORG/NAME/settings.json      private, gated
                    /refs.json          branches and tags, each with its commit
                    /commits/ID.json    title, author, parent, and the files with their hashes
                    /objects/SHA256     the contents
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

RepoType = Literal["model", "dataset"]

# As the Hub writes it into every new repository, cut to the kinds of file that these tests meet.
_LFS_ENDINGS = ("safetensors", "bin", "pt", "pth", "gguf", "model", "parquet", "arrow", "gz", "zip")
_GITATTRIBUTES = "".join(f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in _LFS_ENDINGS)


@dataclass(frozen=True)
class StoredFile:
    """One file of a commit. `git_oid` is the SHA-1 of git's blob: of the pointer where the file is stored as LFS."""

    size: int
    sha256: str
    git_oid: str
    lfs: bool

    @property
    def remote_oid(self) -> str:
        """What the client compares its own file with: the SHA-256 of an LFS file, else git's SHA-1."""
        return self.sha256 if self.lfs else self.git_oid

    @property
    def pointer_size(self) -> int:
        """Bytes of the pointer that git would hold in the file's place."""
        return len(_pointer(self.sha256, self.size))


@dataclass(frozen=True)
class Commit:
    """An immutable state of a repository. `oid` is its 40-digit id, `date` is in ISO format and UTC."""

    oid: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, StoredFile]


class Repository:
    """One repository, read from its folder at every question, so that it is never older than the last commit."""

    def __init__(self, folder: Path, repo_type: RepoType, repo_id: str) -> None:
        self.folder, self.repo_type, self.repo_id = folder, repo_type, repo_id

    @property
    def namespace(self) -> str:
        """The user or organization it belongs to."""
        return self.repo_id.partition("/")[0]

    @property
    def settings(self) -> dict[str, Any]:
        """`private` (bool) and `gated` (False, "auto" or "manual")."""
        return _read(self.folder / "settings.json")

    @property
    def private(self) -> bool:
        """Whether only its owners see it."""
        return bool(self.settings["private"])

    @property
    def branches(self) -> dict[str, str]:
        """The branches, each with its commit id."""
        return _read(self.folder / "refs.json")["branches"]

    @property
    def tags(self) -> dict[str, str]:
        """The tags, each with its commit id."""
        return _read(self.folder / "refs.json")["tags"]

    def change_settings(self, **changed: object) -> None:
        """Set some of the settings."""
        _write(self.folder / "settings.json", {**self.settings, **changed})

    def point(self, kind: Literal["branches", "tags"], name: str, oid: str | None) -> None:
        """Let a branch or a tag point at a commit; None removes it."""
        refs = _read(self.folder / "refs.json")
        refs[kind].pop(name, None)
        if oid is not None:
            refs[kind][name] = oid
        _write(self.folder / "refs.json", refs)

    def commit(self, revision: str = "main") -> Commit | None:
        """The commit of a branch, a tag or an id (7 digits or more), None where there is none."""
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        found = sorted((self.folder / "commits").glob(f"{oid}*.json")) if oid.isalnum() and len(oid) >= 7 else []
        if len(found) != 1:
            return None
        record = _read(found[0])
        return Commit(**{**record, "files": {path: StoredFile(**file) for path, file in record["files"].items()}})

    def commits(self, revision: str = "main") -> list[Commit]:
        """The history of a revision, newest first."""
        history: list[Commit] = []
        found = self.commit(revision)
        while found is not None:
            history.append(found)
            found = self.commit(found.parent) if found.parent else None
        return history

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Every file of a revision with its content."""
        commit = self.commit(revision)
        assert commit is not None, f"{self.repo_id} has no revision {revision}"
        return {path: self.content(file.sha256) for path, file in sorted(commit.files.items())}

    def has_content(self, sha256: str) -> bool:
        """Whether a content was uploaded to this repository."""
        return (self.folder / "objects" / sha256).is_file()

    def content(self, sha256: str) -> bytes:
        """The bytes with this hash."""
        return (self.folder / "objects" / sha256).read_bytes()

    def store(self, content: bytes, *, lfs: bool) -> StoredFile:
        """Keep a content, and say what git and LFS call it."""
        sha256 = hashlib.sha256(content).hexdigest()
        (self.folder / "objects" / sha256).write_bytes(content)
        return self.stored_file(sha256, lfs=lfs)

    def stored_file(self, sha256: str, *, lfs: bool) -> StoredFile:
        """What git and LFS call a content that is here."""
        content = self.content(sha256)
        in_git = _pointer(sha256, len(content)) if lfs else content
        git_oid = hashlib.sha1(b"blob %d\0" % len(in_git) + in_git).hexdigest()
        return StoredFile(len(content), sha256, git_oid, lfs)

    def add_commit(self, branch: str, files: Mapping[str, StoredFile], *, title: str, message: str, author: str) -> str:
        """Put a commit with exactly `files` on top of a branch, and give its id."""
        record = {
            "parent": self.branches.get(branch),
            "title": title,
            "message": message,
            "author": author,
            "date": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "files": {path: asdict(file) for path, file in sorted(files.items())},
        }
        oid = hashlib.sha1(json.dumps(record).encode()).hexdigest()
        _write(self.folder / "commits" / f"{oid}.json", {"oid": oid, **record})
        self.point("branches", branch, oid)
        return oid


class Storage:
    """All repositories of a Hub, below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def repository(self, repo_type: RepoType, repo_id: str) -> Repository | None:
        """A repository, None where there is none of this name."""
        folder = self.root / f"{repo_type}s" / repo_id
        return Repository(folder, repo_type, repo_id) if (folder / "settings.json").is_file() else None

    def create(self, repo_type: RepoType, repo_id: str, *, private: bool, author: str) -> Repository:
        """A new repository with the Hub's own first commit."""
        repository = Repository(self.root / f"{repo_type}s" / repo_id, repo_type, repo_id)
        for part in ("commits", "objects"):
            (repository.folder / part).mkdir(parents=True)
        _write(repository.folder / "refs.json", {"branches": {}, "tags": {}})
        _write(repository.folder / "settings.json", {"private": private, "gated": False})
        first = {".gitattributes": repository.store(_GITATTRIBUTES.encode(), lfs=False)}
        repository.add_commit("main", first, title="initial commit", message="", author=author)
        return repository

    def delete(self, repository: Repository) -> None:
        """Remove a repository with all its commits."""
        shutil.rmtree(repository.folder)


def _pointer(sha256: str, size: int) -> bytes:
    """The file that git holds in the place of an LFS file, as git-lfs specifies it."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _write(path: Path, value: object) -> None:
    """Replace a record in one step: other requests are reading it."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1))
    part.replace(path)
