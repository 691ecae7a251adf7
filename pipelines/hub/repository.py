"""A repository of the Hub that the token may write to, and the state of its branches before a push."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from huggingface_hub import HfApi, constants, get_session, get_token
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import DatasetInfo, ModelInfo
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from pipelines.errors import UserError
from pipelines.hub.access import HubAccess, TokenState, invalid_name_reason, whoami
from pipelines.hub.retry import RetryPolicy, hide_signed_urls, with_retries

T = TypeVar("T")
RepoType = Literal["model", "dataset"]
_RECORDS: dict[RepoType, str] = {"model": "lock.json", "dataset": "manifest.json"}


@dataclass(frozen=True)
class Branch:
    """A branch before a push. `is_private` is None without a repository, `head` without the branch; `record` is
    the lock.json or manifest.json of the earlier push. One that `is_copy` holds the main branch's commit, as a new
    branch does."""

    name: str
    is_private: bool | None = None
    head: str | None = None
    files: tuple[str, ...] = ()
    record: Mapping[str, Any] | None = None
    is_copy: bool = False


@dataclass(frozen=True)
class Repository:
    """`repo_id` (with its namespace), and a client with a token that has write permission there."""

    repo_id: str
    api: HfApi = field(repr=False)
    token: str = field(repr=False)
    policy: RetryPolicy
    repo_type: RepoType = "model"

    @property
    def namespace(self) -> str:
        """The user or the organization that owns it."""
        return self.repo_id.partition("/")[0]

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.api.endpoint}/{'datasets/' if self.repo_type == 'dataset' else ''}{self.repo_id}"

    def with_retries(self, call: Callable[[], T], repo_id: str | None = None) -> T:
        """`call` with this repository's retry policy; errors name `repo_id`, by default this repository."""
        return with_retries(call, repo_id=repo_id or self.repo_id, policy=self.policy)

    def info(
        self, repo_id: str, revision: str | None = None, *, files_metadata: bool = False
    ) -> ModelInfo | DatasetInfo:
        """Ask for a repository once. The timeout is given here because this call ignores the session's."""
        ask = self.api.dataset_info if self.repo_type == "dataset" else self.api.model_info
        limit = self.policy.seconds_of_silence
        return ask(repo_id, revision=revision, files_metadata=files_metadata, timeout=limit)

    def branch(self, name: str) -> Branch:
        """The current state of a branch, asked once without retries."""
        try:
            main = self.info(self.repo_id)
        except RepositoryNotFoundError:
            return Branch(name)
        try:
            info = self.info(self.repo_id, name)
        except RevisionNotFoundError:
            return Branch(name, main.private)
        files = tuple(one.rfilename for one in info.siblings or [])
        name_of_record = _RECORDS[self.repo_type]
        record = self._json(name_of_record, str(info.sha)) if name_of_record in files else None
        is_copy = name != constants.DEFAULT_REVISION and info.sha == main.sha
        return Branch(name, main.private, info.sha, files, record, is_copy)

    def _json(self, file: str, commit: str) -> Mapping[str, Any]:
        response = get_session().get(f"{self.url}/resolve/{commit}/{file}", headers=build_hf_headers(token=self.token))
        hf_raise_for_status(response)
        value = response.json()
        return value if isinstance(value, dict) else {}


def refuse_invalid_name(repo_id: str) -> None:
    """Raise `UserError` if the Hub does not allow the name `repo_id`."""
    if reason := invalid_name_reason(repo_id):
        raise UserError(f"the Hub does not allow the name {repo_id}: {reason}", "choose a name such as me/my-instruct")


def writable_repository(
    repo_id: str, token: str | None = None, policy: RetryPolicy | None = None, repo_type: RepoType = "model"
) -> Repository:
    """The repository `repo_id` (NAME or NAMESPACE/NAME), existing or still to be created.

    Raises `UserError` for an invalid name, and for a token that is missing, unknown or may not write there.
    """
    refuse_invalid_name(repo_id)
    token = token or get_token()
    if not token:
        raise UserError("there is no token for the Hub", "run `hf auth login` or set HF_TOKEN to a write token")
    policy = policy or RetryPolicy()
    hide_signed_urls()
    access = HubAccess(TokenState.KNOWN, with_retries(lambda: whoami(token), repo_id=repo_id, policy=policy))
    namespace = repo_id.rpartition("/")[0] or access.user
    if reason := access.why_not_writable(namespace):
        raise UserError(
            f"the token may not write to {namespace}: {reason}",
            "choose a repository of your own, or log in with a token with write permission",
        )
    return Repository(f"{namespace}/{repo_id.rpartition('/')[2]}", HfApi(token=token), token, policy, repo_type)
