"""The addresses of the Hub's API, each with the function that answers it."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlencode

import yaml

from tests.hub_server.accounts import Account, refuse_gated, refuse_reading, refuse_writing
from tests.hub_server.answers import Answer, Refusal, Request, content_answer, json_answer
from tests.hub_server.commits import add_commit, upload_modes
from tests.hub_server.descriptions import commit_of, described_path, front_matter, repository_info, tree_paths
from tests.hub_server.storage import Repository, RepoType

if TYPE_CHECKING:
    from tests.hub_server.server import LocalHub

_REPOSITORY = r"(?P<kind>models|datasets)/(?P<repo_id>[^/]+/[^/]+)"
_WEB = r"/(?:(?P<kind>datasets)/)?(?P<repo_id>[^/]+/[^/]+?)"


def answer(hub: "LocalHub", request: Request) -> Answer:
    """The answer to a request, a refusal in the Hub's words included."""
    try:
        for method, pattern, function in _ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found and request.method in method.split():
                return function(
                    hub, request, **{name: unquote(value or "") for name, value in found.groupdict().items()}
                )
        missing = re.match(r"/api/(models|datasets)/|.*/resolve/", request.path)
        raise Refusal(404, "Not found", "RepoNotFound" if missing else None)
    except Refusal as refusal:
        return refusal.answer()


def _seen(hub: "LocalHub", request: Request, kind: str, repo_id: str) -> tuple[Account | None, Repository]:
    """Who asks, and the repository where they may see it."""
    account = hub.accounts.asking(request)
    return account, refuse_reading(account, hub.storage.repository(_repo_type(kind), repo_id))


def _written(hub: "LocalHub", request: Request, kind: str, repo_id: str) -> tuple[Account, Repository]:
    """Who asks, and the repository where they may write to it."""
    account = hub.accounts.asking_by_name(request)
    repository = refuse_reading(account, hub.storage.repository(_repo_type(kind), repo_id))
    refuse_writing(account, repository.namespace)
    return account, repository


def _repo_type(kind: str) -> RepoType:
    return "dataset" if kind in ("dataset", "datasets") else "model"


def whoami(hub: "LocalHub", request: Request) -> Answer:
    return json_answer(hub.accounts.asking_by_name(request).described())


def create_repository(hub: "LocalHub", request: Request) -> Answer:
    account, asked = hub.accounts.asking_by_name(request), request.json()
    repo_type, namespace = _repo_type(asked.get("type", "model")), asked.get("organization") or account.name
    refuse_writing(account, namespace)
    repo_id = f"{namespace}/{asked['name']}"
    place = {"url": f"{hub.url}/{'datasets/' if repo_type == 'dataset' else ''}{repo_id}", "name": repo_id}
    with hub.writing:
        if hub.storage.repository(repo_type, repo_id):
            return json_answer({"error": f"You already created this {repo_type} repo: {repo_id}", **place}, 409)
        private = asked.get("visibility") == "private"
        hub.storage.create(repo_type, repo_id, private=private, author=account.name)
    return json_answer(place)


def delete_repository(hub: "LocalHub", request: Request) -> Answer:
    account, asked = hub.accounts.asking_by_name(request), request.json()
    repo_id = f"{asked.get('organization') or account.name}/{asked['name']}"
    _, repository = _written(hub, request, asked.get("type", "model"), repo_id)
    hub.storage.delete(repository)
    return Answer()


def describe(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str) -> Answer:
    _, repository = _seen(hub, request, kind, repo_id)
    commit = commit_of(repository, revision or "main")
    return json_answer(repository_info(repository, commit, with_blobs=request.flag("blobs")))


def tree(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str, folder: str) -> Answer:
    """A page of a tree; the address of the next one is in the header Link."""
    _, repository = _seen(hub, request, kind, repo_id)
    commit, expand = commit_of(repository, revision), request.flag("expand")
    paths = tree_paths(commit, folder, recursive=request.flag("recursive"))
    start = int((request.query.get("cursor") or ["0"])[0])
    stop = start + hub.tree_page_size
    headers = {}
    if stop < len(paths):
        query = urlencode({**{name: values[0] for name, values in request.query.items()}, "cursor": stop})
        headers["Link"] = f'<{hub.url}{request.path}?{query}>; rel="next"'
    entries = [described_path(repository, commit, path, expand=expand) for path in paths[start:stop]]
    return json_answer(entries, headers=headers)


def paths_info(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str) -> Answer:
    _, repository = _seen(hub, request, kind, repo_id)
    commit, asked = commit_of(repository, revision), parse_qs(request.body.decode())
    expand = asked.get("expand", [""])[0].lower() == "true"
    entries = [described_path(repository, commit, path.rstrip("/"), expand=expand) for path in asked.get("paths", [])]
    return json_answer([entry for entry in entries if entry])


def refs(hub: "LocalHub", request: Request, kind: str, repo_id: str) -> Answer:
    _, repository = _seen(hub, request, kind, repo_id)

    def listed(git_folder: str, found: dict[str, str]) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{git_folder}/{name}", "targetCommit": oid}
            for name, oid in sorted(found.items())
        ]

    branches, tags = listed("heads", repository.branches), listed("tags", repository.tags)
    return json_answer({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})


def history(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str) -> Answer:
    _, repository = _seen(hub, request, kind, repo_id)
    head = commit_of(repository, revision)
    return json_answer(
        [
            {"id": c.oid, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": c.author}]}
            for c in repository.commits(head.oid)
        ]
    )


def branch(hub: "LocalHub", request: Request, kind: str, repo_id: str, name: str) -> Answer:
    _, repository = _written(hub, request, kind, repo_id)
    with hub.writing:
        if request.method == "DELETE":
            return _remove_ref(repository, "branches", name)
        start = commit_of(repository, request.json().get("startingPoint") or "main")
        if name in repository.branches:
            raise Refusal(409, f"Reference already exists: refs/heads/{name}")
        repository.point("branches", name, start.oid)
    return json_answer({"success": True})


def tag(hub: "LocalHub", request: Request, kind: str, repo_id: str, name: str) -> Answer:
    """Set a tag on the revision in the address, or remove the tag in the address."""
    _, repository = _written(hub, request, kind, repo_id)
    with hub.writing:
        if request.method == "DELETE":
            return _remove_ref(repository, "tags", name)
        target, asked = commit_of(repository, name), request.json()["tag"]
        if asked in repository.tags:
            raise Refusal(409, f"Reference already exists: refs/tags/{asked}")
        repository.point("tags", asked, target.oid)
    return json_answer({"success": True})


def _remove_ref(repository: Repository, kind: Any, name: str) -> Answer:
    if name not in (repository.branches if kind == "branches" else repository.tags):
        raise Refusal(404, f"Reference does not exist: {name}", "RevisionNotFound")
    repository.point(kind, name, None)
    return Answer()


def settings(hub: "LocalHub", request: Request, kind: str, repo_id: str) -> Answer:
    _, repository = _written(hub, request, kind, repo_id)
    asked = request.json()
    if "visibility" in asked:
        repository.change_settings(private=asked["visibility"] == "private")
    if "gated" in asked:
        repository.change_settings(gated=asked["gated"])
    return json_answer({"private": repository.private})


def check_access(hub: "LocalHub", request: Request, kind: str, repo_id: str, write: str) -> Answer:
    account, repository = _seen(hub, request, kind, repo_id)
    refuse_gated(account, repository)
    if write:
        _written(hub, request, kind, repo_id)
    return Answer()


def preupload(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str) -> Answer:
    _, repository = _written(hub, request, kind, repo_id)
    return upload_modes(repository, revision, request)


def commit(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str) -> Answer:
    account, repository = _written(hub, request, kind, repo_id)
    with hub.writing:
        return add_commit(repository, revision, request, account, hub.url)


def validate_card(_: "LocalHub", request: Request) -> Answer:
    """Whether a card's metadata is YAML and a mapping; a card without any is only warned of."""
    try:
        metadata = front_matter(request.json()["content"])
    except yaml.YAMLError as error:
        return json_answer({"errors": [{"message": f"invalid YAML: {error}"}], "warnings": []}, 400)
    if metadata is None:
        return json_answer({"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]})
    if not isinstance(metadata, dict):
        return json_answer({"errors": [{"message": "the metadata must be a mapping"}], "warnings": []}, 400)
    return json_answer({"errors": [], "warnings": []})


def resolve(hub: "LocalHub", request: Request, kind: str, repo_id: str, revision: str, path: str) -> Answer:
    """A file, or for a large one its facts and the address of the storage server."""
    account, repository = _seen(hub, request, kind, repo_id)
    refuse_gated(account, repository)
    found = commit_of(repository, revision)
    headers = {"X-Repo-Commit": found.oid}
    file = found.files.get(path)
    if file is None:
        raise Refusal(404, "Entry not found", "EntryNotFound", headers)
    if not file.lfs:
        return content_answer(request, repository.content(file.sha256), {"ETag": f'"{file.git_oid}"', **headers})
    headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.sha256}"'}
    headers |= {"Location": hub.large_files.link(repository, file.sha256), "ETag": f'"{file.git_oid}"'}
    return Answer(302, headers=headers)


def lfs_batch(hub: "LocalHub", request: Request, kind: str, repo_id: str) -> Answer:
    _, repository = _written(hub, request, kind, repo_id)
    return hub.large_files.batch(repository, request)


def lfs_verify(hub: "LocalHub", request: Request, kind: str, repo_id: str) -> Answer:
    _, repository = _written(hub, request, kind, repo_id)
    return hub.large_files.verify(repository, request)


def lfs_complete(hub: "LocalHub", request: Request, key: str) -> Answer:
    return hub.large_files.complete(request, key)


def lfs_receive(hub: "LocalHub", request: Request, key: str, number: str) -> Answer:
    return hub.large_files.receive(request, key, number or None)


def lfs_send(hub: "LocalHub", request: Request, key: str) -> Answer:
    return hub.large_files.send(request, key)


_ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", r"/api/whoami-v2", whoami),
    ("POST", r"/api/repos/create", create_repository),
    ("DELETE", r"/api/repos/delete", delete_repository),
    ("POST", r"/api/validate-yaml", validate_card),
    ("GET", rf"/api/{_REPOSITORY}(?:/revision/(?P<revision>[^/]+))?", describe),
    ("GET", rf"/api/{_REPOSITORY}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?", tree),
    ("POST", rf"/api/{_REPOSITORY}/paths-info/(?P<revision>[^/]+)", paths_info),
    ("GET", rf"/api/{_REPOSITORY}/refs", refs),
    ("GET", rf"/api/{_REPOSITORY}/commits/(?P<revision>[^/]+)", history),
    ("POST DELETE", rf"/api/{_REPOSITORY}/branch/(?P<name>[^/]+)", branch),
    ("POST DELETE", rf"/api/{_REPOSITORY}/tag/(?P<name>[^/]+)", tag),
    ("PUT", rf"/api/{_REPOSITORY}/settings", settings),
    ("GET", rf"/api/{_REPOSITORY}/auth-check(?P<write>/write)?", check_access),
    ("POST", rf"/api/{_REPOSITORY}/preupload/(?P<revision>[^/]+)", preupload),
    ("POST", rf"/api/{_REPOSITORY}/commit/(?P<revision>[^/]+)", commit),
    ("POST", r"/api/complete_multipart/(?P<key>[0-9a-f]+)", lfs_complete),
    ("POST", rf"{_WEB}\.git/info/lfs/objects/batch", lfs_batch),
    ("POST", rf"{_WEB}\.git/info/lfs/objects/verify", lfs_verify),
    ("GET HEAD", rf"{_WEB}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
    ("PUT", r"/storage/uploads/(?P<key>[0-9a-f]+)(?:/(?P<number>\d+))?", lfs_receive),
    ("GET HEAD", r"/storage/objects/[0-9a-f]{64}/(?P<key>[0-9a-f]+)", lfs_send),
]
