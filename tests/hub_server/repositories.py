"""Users and repositories in memory: commits, branches and tags that point at them, contents by hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Role = Literal["read", "write", "fineGrained"]
RepoType = Literal["model", "dataset"]
DATE = "2026-01-01T00:00:00.000Z"

# As the Hub writes it into every new repository, cut to the kinds of file in these tests.
_LFS_ENDINGS = ("safetensors", "bin", "pt", "gguf", "model", "parquet", "arrow")
_GITATTRIBUTES = "".join(f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in _LFS_ENDINGS).encode()


@dataclass(frozen=True)
class Account:
    """A user with one token. `orgs` maps an organization to the user's role there; `scopes` are the namespaces that a
    fine-grained token may write to."""

    name: str
    role: Role
    orgs: dict[str, str]
    scopes: tuple[str, ...]

    def may_write(self, namespace: str) -> bool:
        mine = namespace == self.name or self.orgs.get(namespace) in ("write", "admin", "contributor")
        return mine and (self.role == "write" or (self.role == "fineGrained" and namespace in self.scopes))

    def whoami(self) -> dict[str, Any]:
        """The answer to whoami-v2."""
        token: dict[str, Any] = {"displayName": "test", "role": self.role}
        if self.role == "fineGrained":
            kinds = {name: "user" if name == self.name else "org" for name in (self.name, *self.orgs)}
            scoped = [
                {
                    "entity": {"type": kind, "name": name},
                    "permissions": ["repo.content.read", *(["repo.write"] if name in self.scopes else [])],
                }
                for name, kind in kinds.items()
            ]
            token["fineGrained"] = {"global": [], "scoped": scoped}
        orgs = [{"type": "org", "name": name, "roleInOrg": role} for name, role in self.orgs.items()]
        return {"type": "user", "name": self.name, "orgs": orgs, "auth": {"accessToken": token}}


@dataclass(frozen=True)
class StoredFile:
    """A file of a commit."""

    content: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def git_oid(self) -> str:
        """SHA-1 of git's blob: of the LFS pointer where the file is stored as LFS."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        blob = pointer.encode() if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    def described(self, name_key: str, name: str) -> dict[str, Any]:
        """The file as the Hub lists it."""
        size = len(self.content)
        lfs = {"lfs": {"oid": self.sha256, "sha256": self.sha256, "size": size, "pointerSize": 130}} if self.lfs else {}
        return {name_key: name, "type": "file", "oid": self.git_oid, "blobId": self.git_oid, "size": size, **lfs}


@dataclass(frozen=True)
class Commit:
    """An immutable state of a repository."""

    oid: str
    parent: str | None
    message: str
    files: Mapping[str, StoredFile]


@dataclass
class Repository:
    """A repository; a new one has the Hub's own first commit on main."""

    repo_type: RepoType
    repo_id: str
    private: bool = False
    gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    _commits: dict[str, Commit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.add_commit("main", {".gitattributes": StoredFile(_GITATTRIBUTES, lfs=False)}, "initial commit")

    @property
    def namespace(self) -> str:
        return self.repo_id.partition("/")[0]

    def commit(self, revision: str = "main") -> Commit | None:
        """The commit of a branch, a tag or an id."""
        return self._commits.get(self.branches.get(revision) or self.tags.get(revision) or revision)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """The content of each file of a revision."""
        commit = self.commit(revision)
        assert commit is not None, f"{self.repo_id} has no revision {revision}"
        return {path: file.content for path, file in sorted(commit.files.items())}

    def add_commit(self, branch: str, files: Mapping[str, StoredFile], message: str) -> str:
        """Put a commit with exactly `files` on a branch; its id."""
        parent = self.branches.get(branch)
        hashes = {path: file.sha256 for path, file in sorted(files.items())}
        oid = hashlib.sha1(json.dumps([parent, message, hashes]).encode()).hexdigest()
        self._commits[oid] = Commit(oid, parent, message, dict(files))
        self.branches[branch] = oid
        return oid

    def stored(self) -> list[tuple[str, bytes]]:
        """Everything in the repository: file names with their contents, messages, names of branches and tags."""
        names = "\n".join([self.repo_id, *self.branches, *self.tags, *(one.message for one in self._commits.values())])
        files = [(path, file.content) for one in self._commits.values() for path, file in one.files.items()]
        return [("names", names.encode()), *((f"object {oid}", content) for oid, content in self.objects.items()),
                *files, *((f"name {path}", path.encode()) for path, _ in files)]  # fmt: skip
