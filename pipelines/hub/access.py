"""What the Hub says of a token before a run that ends in a push: who it is, and where it may write."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_session, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, validate_repo_id

_PATIENCE = 10  # seconds: the Hub's own client would wait for an answer without end
_REFUSED = (401, 403)
_WRITE_ROLES = ("write", "admin", "contributor")
_WRITE_PERMISSIONS = ("repo.write", "repo.content.write")


class Answer(StrEnum):
    """How asking the Hub ended."""

    KNOWN = "known"
    NO_TOKEN = "no token"
    INVALID = "invalid"
    OFFLINE = "offline"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class HubAccess:
    """What the Hub said. `facts` is its answer about the user and the token's role; it does not hold the token."""

    answer: Answer
    facts: Mapping[str, Any]
    reason: str = ""

    @property
    def user(self) -> str:
        """The name of the token's user."""
        return str(self.facts.get("name", ""))

    def refusal(self, namespace: str | None) -> str | None:
        """Why this token may not write to a repository of `namespace`, None where it may. None is the user's own."""
        namespace = namespace or self.user
        token = (self.facts.get("auth") or {}).get("accessToken") or {}
        if token.get("role") == "read":
            return f"the token of {self.user} may only read"
        if token.get("role") == "fineGrained" and not _may_write(token.get("fineGrained") or {}, namespace):
            return f"the fine-grained token of {self.user} has no permission to write to repositories of {namespace}"
        if namespace == self.user:
            return None
        roles = {org.get("name"): org.get("roleInOrg") for org in self.facts.get("orgs") or []}
        if namespace not in roles:
            return f"{self.user} is no member of {namespace}"
        role = roles[namespace]
        return None if role is None or role in _WRITE_ROLES else f"{self.user} has the role {role} in {namespace}"


def name_fault(repo_id: str) -> str | None:
    """Why `repo_id` can be no repository's name by the Hub's own rules, None where it can."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        return " ".join(str(error).split())
    return None


def repository_name(training: Any) -> str:
    """Where transformers' arguments `training` push: `hub_model_id`, or by default the last part of `output_dir`."""
    return str(training.hub_model_id or Path(str(training.output_dir)).resolve().name)


def hub_access(token: str | None) -> HubAccess:
    """Ask the Hub about `token`, or the one that is logged in. Never raises for what the network does."""
    token = token or get_token()
    if constants.is_offline_mode():
        return HubAccess(Answer.OFFLINE, {})
    if not token:
        return HubAccess(Answer.NO_TOKEN, {})
    try:
        facts = whoami(token)
    except OfflineModeIsEnabled:
        return HubAccess(Answer.OFFLINE, {})
    except HfHubHTTPError as error:
        status = error.response.status_code
        answer = Answer.INVALID if status in _REFUSED else Answer.UNREACHABLE
        return HubAccess(answer, {}, f"{constants.ENDPOINT} answered with status {status}")
    except (HTTPError, OSError, ValueError) as error:
        return HubAccess(Answer.UNREACHABLE, {}, f"{constants.ENDPOINT} gave no answer ({type(error).__name__})")
    return HubAccess(Answer.KNOWN, facts)


def whoami(token: str) -> dict[str, Any]:
    """The Hub's answer about `token`, asked once. Raises the client's own errors."""
    url = f"{constants.ENDPOINT}/api/whoami-v2"
    response = get_session().get(url, headers=build_hf_headers(token=token), timeout=_PATIENCE)
    hf_raise_for_status(response)
    facts = response.json()
    return facts if isinstance(facts, dict) else {}


def _may_write(granted: Mapping[str, Any], namespace: str) -> bool:
    """Whether a fine-grained token writes to repositories of `namespace`; one for a single repository may."""
    for scope in granted.get("scoped") or []:
        entity = scope.get("entity") or {}
        owner = str(entity.get("name", "")).partition("/")[0]
        if owner == namespace and set(scope.get("permissions") or []) & set(_WRITE_PERMISSIONS):
            return True
    return False
