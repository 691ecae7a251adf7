"""Large files: where to send them, in one piece or in parts, and the proof that they arrived."""

import hashlib
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.hub_server.answers import Answer, Refusal, Request, content_answer, json_answer
from tests.hub_server.storage import Repository

_LFS_JSON = {"Content-Type": "application/vnd.git-lfs+json"}


@dataclass
class _Upload:
    repository: Repository
    oid: str
    size: int
    parts: dict[int, bytes] = field(default_factory=dict)


class LargeFiles:
    """The storage server beside the Hub. Its addresses are signed by a secret in their path and need no token."""

    def __init__(self, hub_url: str, storage_url: str, part_bytes: int) -> None:
        self._hub_url, self._storage_url, self._part_bytes = hub_url, storage_url, part_bytes
        self._uploads: dict[str, _Upload] = {}
        self._downloads: dict[str, tuple[Repository, str]] = {}
        self._lock = threading.Lock()

    def batch(self, repository: Repository, request: Request) -> Answer:
        """Where each object goes. An object that is already here has no actions; one larger than a part has an address
        for each part, and the size of the parts is the server's choice."""
        asked = request.json()
        if asked.get("operation") != "upload":
            raise Refusal(422, "only uploads are asked for in a batch")
        in_parts = "multipart" in asked.get("transfers", [])
        objects = [self._instructions(repository, item["oid"], item["size"], in_parts) for item in asked["objects"]]
        return json_answer({"transfer": "multipart" if in_parts else "basic", "objects": objects}, headers=_LFS_JSON)

    def _instructions(self, repository: Repository, oid: str, size: int, in_parts: bool) -> dict[str, Any]:
        if repository.has_content(oid):
            return {"oid": oid, "size": size}
        key = secrets.token_hex(8)
        with self._lock:
            self._uploads[key] = _Upload(repository, oid, size)
        upload: dict[str, Any] = {"href": f"{self._storage_url}/uploads/{key}"}
        if in_parts and size > self._part_bytes:
            n_parts = -(-size // self._part_bytes)
            parts = {str(number): f"{upload['href']}/{number}" for number in range(1, n_parts + 1)}
            upload = {
                "href": f"{self._hub_url}/api/complete_multipart/{key}",
                "header": {"chunk_size": str(self._part_bytes), **parts},
            }
        prefix = "datasets/" if repository.repo_type == "dataset" else ""
        verify = f"{self._hub_url}/{prefix}{repository.repo_id}.git/info/lfs/objects/verify"
        return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": {"href": verify}}}

    def receive(self, request: Request, key: str, number: str | None) -> Answer:
        """Take a whole object, or one part of it. Its ETag is what the client hands back to complete the upload."""
        upload = self._upload(request, key)
        if number is None:
            self._keep(upload, request.body)
        else:
            upload.parts[int(number)] = request.body
        return Answer(200, headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})

    def complete(self, request: Request, key: str) -> Answer:
        """Put the parts together: all of them must be there, with the ETags that were given out."""
        upload, asked = self._upload(request, key), request.json()
        etags = {part["partNumber"]: part["etag"].strip('"') for part in asked["parts"]}
        held = {number: hashlib.md5(part).hexdigest() for number, part in upload.parts.items()}
        if etags != held or asked["oid"] != upload.oid:
            raise Refusal(400, "the parts are not those that were uploaded")
        self._keep(upload, b"".join(part for _, part in sorted(upload.parts.items())))
        return json_answer({"success": True})

    def verify(self, repository: Repository, request: Request) -> Answer:
        """Whether an object arrived with the size that was announced."""
        asked = request.json()
        if not repository.has_content(asked["oid"]) or len(repository.content(asked["oid"])) != asked["size"]:
            raise Refusal(404, "the object was not uploaded")
        return json_answer({"message": "ok"}, headers=_LFS_JSON)

    def link(self, repository: Repository, sha256: str) -> str:
        """An address of an object for whoever has it."""
        key = secrets.token_hex(8)
        with self._lock:
            self._downloads[key] = (repository, sha256)
        return f"{self._storage_url}/objects/{sha256}/{key}"

    def send(self, request: Request, key: str) -> Answer:
        """The bytes of an object."""
        _refuse_token(request)
        if key not in self._downloads:
            raise Refusal(403, "Request has expired")
        repository, sha256 = self._downloads[key]
        return content_answer(request, repository.content(sha256), {"ETag": f'"{sha256}"'})

    def _upload(self, request: Request, key: str) -> _Upload:
        _refuse_token(request)
        if key not in self._uploads:
            raise Refusal(403, "Request has expired")
        return self._uploads[key]

    def _keep(self, upload: _Upload, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != upload.oid or len(content) != upload.size:
            raise Refusal(400, "the content is not the one that was announced")
        upload.repository.store(content, lfs=True)


def _refuse_token(request: Request) -> None:
    """Object stores refuse a second authorization beside the signature; a client that sends its token leaks it."""
    if request.token is not None:
        raise Refusal(400, "Only one auth mechanism allowed")
