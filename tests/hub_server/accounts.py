"""Users, their tokens, and what a token may do."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.hub_server.answers import Refusal, Request
from tests.hub_server.storage import Repository

Role = Literal["read", "write", "fineGrained"]


@dataclass(frozen=True)
class Account:
    """A user with one token. `orgs` maps an organization to the user's role there; `scopes` names the namespaces that
    a fine-grained token may write to."""

    name: str
    role: Role
    orgs: dict[str, str]
    scopes: tuple[str, ...]

    def sees(self, repository: Repository) -> bool:
        """Whether a private repository is visible."""
        return repository.namespace == self.name or repository.namespace in self.orgs

    def may_write(self, namespace: str) -> bool:
        """Whether this token may write to repositories of a namespace."""
        mine = namespace == self.name or self.orgs.get(namespace) in ("write", "admin", "contributor")
        return mine and (self.role == "write" or (self.role == "fineGrained" and namespace in self.scopes))

    def described(self) -> dict[str, Any]:
        """The answer to whoami-v2."""
        token: dict[str, Any] = {"displayName": "test", "role": self.role, "createdAt": "2026-01-01T00:00:00.000Z"}
        if self.role == "fineGrained":
            scoped = [
                {
                    "entity": {"type": "user" if name == self.name else "org", "name": name},
                    "permissions": ["repo.write"],
                }
                for name in self.scopes
            ]
            token["fineGrained"] = {"canReadGatedRepos": True, "global": [], "scoped": scoped}
        return {
            "type": "user",
            "id": self.name,
            "name": self.name,
            "fullname": self.name,
            "isPro": False,
            "orgs": [{"type": "org", "name": name, "roleInOrg": role} for name, role in self.orgs.items()],
            "auth": {"type": "access_token", "accessToken": token},
        }


class Accounts:
    """The accounts of a Hub by token."""

    def __init__(self) -> None:
        self._by_token: dict[str, Account] = {}

    def add(self, name: str, role: Role, orgs: Sequence[str | tuple[str, str]], scopes: Sequence[str]) -> str:
        """A new account, and its token. An organization is a name, or a name and the role there (else: write)."""
        token = f"hf_{secrets.token_hex(17)}"
        roles = dict((org, "write") if isinstance(org, str) else org for org in orgs)
        self._by_token[token] = Account(name, role, roles, tuple(scopes))
        return token

    def asking(self, request: Request) -> Account | None:
        """Who asks, None without a token. An unknown token is refused, as the Hub does even for public repositories."""
        if request.token is None:
            return None
        if request.token not in self._by_token:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self._by_token[request.token]

    def asking_by_name(self, request: Request) -> Account:
        """Who asks; refused without a token."""
        account = self.asking(request)
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        return account


def refuse_reading(account: Account | None, repository: Repository | None) -> Repository:
    """`repository` where it may be seen: a private one looks like one that does not exist."""
    if repository is None or (repository.private and not (account and account.sees(repository))):
        raise Refusal(404 if account else 401, "Repository not found", "RepoNotFound")
    return repository


def refuse_writing(account: Account, namespace: str) -> None:
    """Refuse a token that may not write to repositories of `namespace`."""
    if not account.may_write(namespace):
        raise Refusal(403, f'you don\'t have the rights to write to "{namespace}" with this token')


def refuse_gated(account: Account | None, repository: Repository) -> None:
    """The files of a gated repository are only for those who own it."""
    if repository.settings["gated"] and not (account and account.sees(repository)):
        words = f"Access to {repository.repo_type} {repository.repo_id} is restricted"
        raise Refusal(403 if account else 401, words, "GatedRepo")
