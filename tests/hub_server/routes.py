"""The addresses of the Hub's API, each with the function that answers it."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

import yaml

from tests.hub_server.repositories import DATE, Account, Commit, Repository, RepoType, StoredFile

if TYPE_CHECKING:
    from tests.hub_server.server import LocalHub

_REPOSITORY = r"(?P<kind>models|datasets)/(?P<repo_id>[^/]+/[^/]+)"
_WEB = r"/(?:(?P<kind>datasets)/)?(?P<repo_id>[^/]+/[^/]+?)"


@dataclass(frozen=True)
class Request:
    """One request with its body; `path` is percent-encoded and without the query."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body or b"{}")
        return found


@dataclass(frozen=True)
class Answer:
    """Status, body and headers; HEAD sends everything but the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """Ends a request with a status, a message and the error code that the client maps to its exceptions."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        more = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}
        self.answer = json_answer({"error": message}, status, more)


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


def answer(hub: "LocalHub", request: Request) -> Answer:
    """The answer to a request, which may be a refusal."""
    try:
        for method, pattern, function in _ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found and request.method in method.split():
                return function(hub, request, **{k: unquote(value or "") for k, value in found.groupdict().items()})
        raise Refusal(404, f"Not found: {request.method} {request.path}")
    except Refusal as refusal:
        return refusal.answer


def _asking(hub: "LocalHub", request: Request) -> Account | None:
    """Who asks, None without a token. An unknown token is refused, also for public repositories."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        return None
    if token not in hub.accounts:
        raise Refusal(401, "Invalid credentials in Authorization header")
    return hub.accounts[token]


def _user(hub: "LocalHub", request: Request) -> Account:
    account = _asking(hub, request)
    if account is None:
        raise Refusal(401, "Invalid username or password.")
    return account


def _type(kind: str) -> RepoType:
    return "dataset" if kind.startswith("dataset") else "model"


def _readable(hub: "LocalHub", request: Request, kind: str, repo_id: str, *, files: bool = False) -> Repository:
    """The repository; a private one looks like one that does not exist, a gated one hides its `files`."""
    account, repository = _asking(hub, request), hub.repositories.get((_type(kind), repo_id))
    owns = account is not None and repository is not None and repository.namespace in (account.name, *account.orgs)
    if repository is None or (repository.private and not owns):
        raise Refusal(404 if account else 401, "Repository not found", "RepoNotFound")
    if files and repository.gated and not owns:
        raise Refusal(403 if account else 401, f"Access to {repo_id} is restricted", "GatedRepo")
    return repository


def _writable(hub: "LocalHub", request: Request, kind: str, repo_id: str) -> Repository:
    account, repository = _user(hub, request), _readable(hub, request, kind, repo_id)
    _refuse_writing(account, repository.namespace)
    return repository


def _refuse_writing(account: Account, namespace: str) -> None:
    if not account.may_write(namespace):
        raise Refusal(403, f'you don\'t have the rights to write to "{namespace}" with this token')


def _commit_of(repository: Repository, revision: str) -> Commit:
    commit = repository.commit(revision)
    if commit is None:
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def _front_matter(text: str) -> Any:
    parts = text.split("---", 2)
    return yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None


def whoami(hub: "LocalHub", request: Request) -> Answer:
    return json_answer(_user(hub, request).whoami())


def create_repository(hub: "LocalHub", request: Request) -> Answer:
    account, asked = _user(hub, request), request.json()
    repo_type, namespace = _type(asked.get("type", "model")), asked.get("organization") or account.name
    _refuse_writing(account, namespace)
    repo_id = f"{namespace}/{asked['name']}"
    place = {"url": f"{hub.url}/{'datasets/' if repo_type == 'dataset' else ''}{repo_id}", "name": repo_id}
    if (repo_type, repo_id) in hub.repositories:
        return json_answer({"error": f"You already created this {repo_type} repo: {repo_id}", **place}, 409)
    private = asked.get("visibility") == "private"
    hub.repositories[repo_type, repo_id] = Repository(repo_type, repo_id, private)
    return json_answer(place)


def describe(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str) -> Answer:
    repository = _readable(hub, request, kind, repo_id)
    commit = _commit_of(repository, revision or "main")
    facts = {"_id": "1", "id": repo_id, "modelId": repo_id, "author": repository.namespace, "sha": commit.oid}
    facts |= {"createdAt": DATE, "lastModified": DATE, "disabled": False, "downloads": 0, "likes": 0, "tags": []}  # type: ignore[dict-item]
    siblings = [file.described("rfilename", path) for path, file in sorted(commit.files.items())]
    return json_answer({**facts, "private": repository.private, "gated": repository.gated, "siblings": siblings})


def _entry(commit: Commit, path: str) -> dict[str, Any] | None:
    if path in commit.files:
        return commit.files[path].described("path", path)
    is_folder = any(name.startswith(f"{path}/") for name in commit.files)
    return {"type": "directory", "oid": commit.oid, "size": 0, "path": path} if is_folder else None


def tree(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str, folder: str) -> Answer:
    commit = _commit_of(_readable(hub, request, kind, repo_id), revision)
    inside = [PurePosixPath(name) for name in commit.files if not folder or name.startswith(f"{folder}/")]
    paths = {str(path) for name in inside for path in (name, *name.parents) if path.is_relative_to(folder or ".")}
    paths = {path for path in paths if path not in (".", folder)}
    if (request.query.get("recursive") or [""])[0].lower() not in ("1", "true"):
        paths = {path for path in paths if path.count("/") == (folder.count("/") + 1 if folder else 0)}
    return json_answer([_entry(commit, path) for path in sorted(paths)])


def paths_info(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str) -> Answer:
    commit = _commit_of(_readable(hub, request, kind, repo_id), revision)
    asked = parse_qs(request.body.decode()).get("paths", [])
    return json_answer([entry for path in asked if (entry := _entry(commit, path.rstrip("/")))])


def create_branch(hub: "LocalHub", request: Request, kind: str, repo_id: str, name: str) -> Answer:
    repository = _writable(hub, request, kind, repo_id)
    if name in repository.branches:
        raise Refusal(409, f"Reference already exists: refs/heads/{name}")
    repository.branches[name] = _commit_of(repository, request.json().get("startingPoint") or "main").oid
    return json_answer({"success": True})


def upload_modes(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str) -> Answer:
    """For each file whether it goes into the commit or to the LFS storage, and what the Hub holds under its name."""
    repository = _writable(hub, request, kind, repo_id)
    held = _commit_of(repository, revision).files
    attributes = held[".gitattributes"].content.decode() if ".gitattributes" in held else ""
    patterns = [line.split()[0] for line in attributes.splitlines() if "filter=lfs" in line]
    modes = []
    for path in (file["path"] for file in request.json()["files"]):
        large = any(fnmatch(PurePosixPath(path).name, pattern) for pattern in patterns)
        there = held.get(path)
        oid = there and (there.sha256 if there.lfs else there.git_oid)
        mode = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}
        modes.append(mode)
    return json_answer({"files": modes})


def add_commit(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str) -> Answer:
    """Carry out the lines of a commit, all of them or none."""
    repository = _writable(hub, request, kind, repo_id)
    header, *changes = [json.loads(line) for line in request.body.splitlines()]
    if revision not in repository.branches:
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    head, words = _commit_of(repository, revision), header["value"]
    if (words.get("parentCommit") or head.oid) != head.oid:
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    files = dict(head.files)
    for key, value in ((change["key"], change["value"]) for change in changes):
        path = value["path"]
        if key == "file":
            files[path] = StoredFile(base64.b64decode(value["content"]), lfs=False)
        elif key == "lfsFile":
            if value["oid"] not in repository.objects:
                raise Refusal(400, f"LFS object {value['oid']} of {path} was not uploaded")
            files[path] = StoredFile(repository.objects[value["oid"]], lfs=True)
        elif key == "deletedFile" and path in files:
            del files[path]
        else:
            raise Refusal(400, f"cannot carry out {key} of {path}")
    oid = repository.add_commit(revision, files, f"{words['summary']}\n{words.get('description', '')}")
    url = f"{hub.url}/{'datasets/' if kind == 'datasets' else ''}{repo_id}/commit/{oid}"
    return json_answer({"success": True, "commitUrl": url, "commitOid": oid, "hookOutput": ""})


def validate_card(_: "LocalHub", request: Request) -> Answer:
    """Whether a card's metadata is a YAML mapping."""
    try:
        metadata = _front_matter(request.json()["content"])
    except yaml.YAMLError as error:
        return json_answer({"errors": [{"message": f"invalid YAML: {error}"}], "warnings": []}, 400)
    if not isinstance(metadata, dict | None):
        return json_answer({"errors": [{"message": "the metadata must be a mapping"}], "warnings": []}, 400)
    return json_answer({"errors": [], "warnings": []})


def resolve(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str, path: str) -> Answer:
    found = _commit_of(_readable(hub, request, kind, repo_id, files=True), revision)
    headers, file = {"X-Repo-Commit": found.oid}, found.files.get(path)
    if file is None:
        raise Refusal(404, "Entry not found", "EntryNotFound", headers)
    return Answer(200, file.content, {"ETag": f'"{file.sha256 if file.lfs else file.git_oid}"', **headers})


def lfs_batch(hub: "LocalHub", request: Request, kind: str, repo_id: str) -> Answer:
    """Where to send each object; one that is already here has no actions."""
    repository, objects = _writable(hub, request, kind, repo_id), []
    for one in request.json()["objects"]:
        href = f"{hub.url}/storage/{repository.repo_type}s/{repo_id}/{one['oid']}"
        actions = {} if one["oid"] in repository.objects else {"actions": {"upload": {"href": href}}}
        objects.append({"oid": one["oid"], "size": one["size"], **actions})
    return json_answer(
        {"transfer": "basic", "objects": objects}, headers={"Content-Type": "application/vnd.git-lfs+json"}
    )


def lfs_receive(hub: "LocalHub", request: Request, kind: str, repo_id: str, oid: str) -> Answer:
    if "authorization" in request.headers:  # object stores refuse it: a client that sends its token leaks it
        raise Refusal(400, "Only one auth mechanism allowed")
    if StoredFile(request.body, lfs=True).sha256 != oid:
        raise Refusal(400, "the content is not the announced one")
    hub.repositories[_type(kind), repo_id].objects[oid] = request.body
    return Answer()


_ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", r"/api/whoami-v2", whoami),
    ("POST", r"/api/repos/create", create_repository),
    ("POST", r"/api/validate-yaml", validate_card),
    ("GET", rf"/api/{_REPOSITORY}(?:/revision/(?P<revision>[^/]+))?", describe),
    ("GET", rf"/api/{_REPOSITORY}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?", tree),
    ("POST", rf"/api/{_REPOSITORY}/paths-info/(?P<revision>[^/]+)", paths_info),
    ("POST", rf"/api/{_REPOSITORY}/branch/(?P<name>[^/]+)", create_branch),
    ("POST", rf"/api/{_REPOSITORY}/preupload/(?P<revision>[^/]+)", upload_modes),
    ("POST", rf"/api/{_REPOSITORY}/commit/(?P<revision>[^/]+)", add_commit),
    ("POST", rf"{_WEB}\.git/info/lfs/objects/batch", lfs_batch),
    ("PUT", rf"/storage/{_REPOSITORY}/(?P<oid>[0-9a-f]+)", lfs_receive),
    ("GET HEAD", rf"{_WEB}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
]
