"""Parse the names of models and adapters: a folder, or a repository of the Hub as org/name@revision."""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from pipelines.errors import UserError

_DEFAULTS = (None, "main")  # what the libraries' options hold where the user chose no revision


@dataclass(frozen=True)
class Reference:
    """A name as the user `given` it. `repo_id` is None for a folder; `revision` is a branch, a tag or a commit of the
    repository, None for its main branch."""

    given: str
    repo_id: str | None
    revision: str | None


def reference(name: str, revision: str | None = None) -> Reference:
    """Parse `name`; `revision` counts where the name itself has none. A path that exists is a folder.

    Raises `UserError` for a name that is neither a folder nor a possible id, and for two different revisions.
    """
    if _is_here(name):
        return Reference(name, None, None)
    repo_id, at, named = name.partition("@")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        problem = f"there is no folder {name}, and the name is not a Hub id such as org/name or org/name@revision"
        raise UserError(problem, "check the path") from error
    if at and not named:
        raise UserError(f"{name} has no revision after the @", "add one, or leave out the @")
    if named and revision not in (*_DEFAULTS, named):
        raise UserError(f"{repo_id} has two revisions, {named} and {revision}", "leave out one of them")
    return Reference(name, repo_id, named or revision)


def short_name(name: str) -> str:
    """The name of a model in a table: the last part of its folder or id, with the revision."""
    if _is_here(name):
        return Path(name).absolute().name
    place, at, revision = name.partition("@")
    return f"{Path(place).name}{at}{revision}"


def _is_here(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # too long for a file's name
        return False
