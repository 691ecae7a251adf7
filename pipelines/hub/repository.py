"""A repository of the Hub: the right to write there, and what a branch of it holds before anything is sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from huggingface_hub import HfApi, constants, get_session, get_token
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from pipelines.errors import UserError
from pipelines.hub.access import Answer, HubAccess, name_fault, whoami
from pipelines.hub.retry import Patience, persistently, without_signatures

T = TypeVar("T")


@dataclass(frozen=True)
class Branch:
    """A branch before a push. `is_private` and `head` are None where repository or branch are not there yet; `lock` is
    the lock.json of the push before. One that `is_copy` holds the main branch's commit, as a new one does."""

    name: str
    is_private: bool | None = None
    head: str | None = None
    files: tuple[str, ...] = ()
    lock: Mapping[str, Any] | None = None
    is_copy: bool = False


@dataclass(frozen=True)
class Repository:
    """`repo_id` (with its namespace) by a client whose token may write there."""

    repo_id: str
    api: HfApi = field(repr=False)
    token: str = field(repr=False)
    patience: Patience

    @property
    def namespace(self) -> str:
        """The user or the organization that it belongs to."""
        return self.repo_id.partition("/")[0]

    def persistently(self, ask: Callable[[], T], repo_id: str | None = None) -> T:
        """`ask` by this repository's patience; a refusal names `repo_id`, or this one."""
        return persistently(ask, repo_id=repo_id or self.repo_id, patience=self.patience)

    def info(self, repo_id: str, revision: str | None = None, *, files_metadata: bool = False) -> ModelInfo:
        """What the Hub says of a model, asked once; this call alone takes no limit from the client's session."""
        limit = self.patience.seconds_of_silence
        return self.api.model_info(repo_id, revision=revision, files_metadata=files_metadata, timeout=limit)

    def branch(self, name: str) -> Branch:
        """What is there now, by one look that does not try again."""
        try:
            main = self.info(self.repo_id)
        except RepositoryNotFoundError:
            return Branch(name)
        try:
            info = self.info(self.repo_id, name)
        except RevisionNotFoundError:
            return Branch(name, main.private)
        files = tuple(one.rfilename for one in info.siblings or [])
        lock = self._json("lock.json", str(info.sha)) if "lock.json" in files else None
        is_copy = name != constants.DEFAULT_REVISION and info.sha == main.sha
        return Branch(name, main.private, info.sha, files, lock, is_copy)

    def _json(self, file: str, commit: str) -> Mapping[str, Any]:
        url = f"{self.api.endpoint}/{self.repo_id}/resolve/{commit}/{file}"
        response = get_session().get(url, headers=build_hf_headers(token=self.token))
        hf_raise_for_status(response)
        value = response.json()
        return value if isinstance(value, dict) else {}


def refuse_bad_name(repo_id: str) -> None:
    """Raise `UserError` for what can be no name of a repository."""
    if fault := name_fault(repo_id):
        raise UserError(
            expected="a name that the Hub takes, such as me/my-instruct", got=fault, remedy="choose another"
        )


def writable_repository(repo_id: str, token: str | None = None, patience: Patience | None = None) -> Repository:
    """The repository `repo_id`, NAME or NAMESPACE/NAME, there or still to be created.

    Raises `UserError` for what can be no name, without a token, for one that the Hub does not know and for one that may
    not write there.
    """
    refuse_bad_name(repo_id)
    token = token or get_token()
    if not token:
        raise UserError(
            expected="a token of the Hub", got="none", remedy="run `hf auth login` or set HF_TOKEN, with a write token"
        )
    patience = patience or Patience()
    without_signatures()
    facts = persistently(lambda: whoami(token), repo_id=repo_id, patience=patience)
    access = HubAccess(Answer.KNOWN, facts)
    namespace = repo_id.rpartition("/")[0] or access.user
    if reason := access.refusal(namespace):
        raise UserError(
            expected=f"a token that may write to {namespace}",
            got=reason,
            remedy="choose a repository of your own, or log in with a token that has the role write",
        )
    return Repository(f"{namespace}/{repo_id.rpartition('/')[2]}", HfApi(token=token), token, patience)
