"""The names of models and adapters: a folder, or a repository of the Hub at a revision, as org/name@revision."""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from pipelines.errors import UserError

_UNSAID = (None, "main")  # what the libraries' own options say of a revision that nobody chose


@dataclass(frozen=True)
class Reference:
    """A name as the user `given` it. `repo_id` is None for a folder; `revision` is a branch, a tag or a commit of the
    repository, None for its main branch."""

    given: str
    repo_id: str | None
    revision: str | None


def reference(name: str, revision: str | None = None) -> Reference:
    """What `name` means, at `revision` where the name itself has none. What exists on this machine is a folder.

    Raises `UserError` for what is neither a folder nor a possible id, and for two revisions.
    """
    if _is_here(name):
        return Reference(name, None, None)
    repo_id, at, named = name.partition("@")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(
            expected="a folder, or an id of the Hub as org/name or org/name@revision",
            got=f"{name}, and no such folder",
            remedy="check the path",
        ) from error
    if at and not named:
        raise UserError(expected=f"a revision after the @ of {name}", got="none", remedy="name one, or leave the @ out")
    if named and revision not in (*_UNSAID, named):
        raise UserError(
            expected=f"one revision of {repo_id}", got=f"{named} and {revision}", remedy="leave one of them out"
        )
    return Reference(name, repo_id, named or revision)


def short_name(name: str) -> str:
    """What to call a model in a table: the last part of its folder or of its id, with the revision."""
    if _is_here(name):
        return Path(name).absolute().name
    place, at, revision = name.partition("@")
    return f"{Path(place).name}{at}{revision}"


def _is_here(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # too long for a file's name
        return False
