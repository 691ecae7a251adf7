"""Ask the Hub about a token: its user, and the namespaces that it may write to."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_session, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, validate_repo_id

_SECONDS_TIMEOUT = 10  # HfApi.whoami has none
_WRITE_ROLES = ("write", "admin", "contributor")
_WRITE_PERMISSIONS = {"repo.write", "repo.content.write"}


class TokenState(StrEnum):
    """The result of asking the Hub about a token."""

    KNOWN = "known"
    NO_TOKEN = "no token"
    INVALID = "invalid"
    OFFLINE = "offline"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class HubAccess:
    """`facts` is the Hub's answer about the user and the role of the token; it does not contain the token."""

    state: TokenState
    facts: Mapping[str, Any]
    reason: str = ""

    @property
    def user(self) -> str:
        """The name of the token's user."""
        return str(self.facts.get("name", ""))

    def why_not_writable(self, namespace: str | None) -> str | None:
        """Why this token may not write to `namespace` (None: the user's own), None where it may."""
        namespace = namespace or self.user
        token = (self.facts.get("auth") or {}).get("accessToken") or {}
        if token.get("role") == "read":
            return f"the token of {self.user} has read permission only"
        if token.get("role") == "fineGrained" and not _may_write(token.get("fineGrained") or {}, namespace):
            return f"the fine-grained token of {self.user} has no permission to write to repositories of {namespace}"
        roles = {org.get("name"): org.get("roleInOrg") for org in self.facts.get("orgs") or []} | {self.user: "admin"}
        if namespace not in roles:
            return f"{self.user} is not a member of {namespace}"
        role = roles[namespace]
        return None if role is None or role in _WRITE_ROLES else f"{self.user} has the role {role} in {namespace}"


def invalid_name_reason(repo_id: str) -> str | None:
    """Why the Hub does not allow the name `repo_id`, None where it does."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        return " ".join(str(error).split())
    return None


def repository_name(training: Any) -> str:
    """The repository that transformers' `training` arguments push to: `hub_model_id`, else the name of `output_dir`."""
    return str(training.hub_model_id or Path(str(training.output_dir)).resolve().name)


def hub_access(token: str | None) -> HubAccess:
    """Ask the Hub about `token`, or the logged-in one. Network failures become a state; nothing is raised."""
    token = token or get_token()
    if constants.is_offline_mode():
        return HubAccess(TokenState.OFFLINE, {})
    if not token:
        return HubAccess(TokenState.NO_TOKEN, {})
    try:
        return HubAccess(TokenState.KNOWN, whoami(token))
    except OfflineModeIsEnabled:
        return HubAccess(TokenState.OFFLINE, {})
    except HfHubHTTPError as error:
        status = error.response.status_code
        state = TokenState.INVALID if status in (401, 403) else TokenState.UNREACHABLE
        return HubAccess(state, {}, f"{constants.ENDPOINT} answered with status {status}")
    except (HTTPError, OSError, ValueError) as error:
        return HubAccess(TokenState.UNREACHABLE, {}, f"{constants.ENDPOINT} did not answer ({type(error).__name__})")


def whoami(token: str) -> dict[str, Any]:
    """Ask the Hub about `token` once. Raises the client's own errors."""
    url = f"{constants.ENDPOINT}/api/whoami-v2"
    response = get_session().get(url, headers=build_hf_headers(token=token), timeout=_SECONDS_TIMEOUT)
    hf_raise_for_status(response)
    facts = response.json()
    return facts if isinstance(facts, dict) else {}


def _may_write(granted: Mapping[str, Any], namespace: str) -> bool:
    """Whether a fine-grained token may write to `namespace`, or to one of its repositories."""
    return any(
        str((scope.get("entity") or {}).get("name", "")).partition("/")[0] == namespace
        and _WRITE_PERMISSIONS & set(scope.get("permissions") or [])
        for scope in granted.get("scoped") or []
    )
