"""Where a name becomes files on this machine: the user's folder, or the Hub's cache at one commit.

What is fetched can be read without running anything: safetensors, JSON, templates and vocabularies, never pickled
weights and never code.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from huggingface_hub import HfApi, RepoFile, constants, get_token, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars

from pipelines.errors import UserError
from pipelines.hub.references import Reference, reference

# A star takes slashes too; of templates transformers reads these.
_DESCRIPTIONS = ["*.json", "chat_template.jinja", "additional_chat_templates/*.jinja", "*.txt", "*.model"]
_WEIGHTS = ["*.safetensors"]
# Checkpoints in sub-folders; the second copy of the weights in Mistral's models.
_LEFT_OUT = [*(f"*/{pattern}" for pattern in (*_DESCRIPTIONS, *_WEIGHTS)), "consolidated*"]


@dataclass(frozen=True)
class LocalCopy:
    """A model or adapter on this machine: `folder` is the user's own, or the Hub's snapshot of `commit`."""

    reference: Reference
    folder: Path
    commit: str | None = None

    @property
    def name(self) -> str:
        """What configs and other libraries call it: the id without the revision, or the folder as it was given."""
        return self.reference.repo_id or self.reference.given

    @property
    def pinned(self) -> str:
        """A name that means the same commit for ever: org/name@commit, or the folder as it was given."""
        return f"{self.name}@{self.commit}" if self.commit else self.name

    def has(self, file: str) -> bool:
        """Whether there is a file of this name."""
        return (self.folder / file).is_file()


def local_copy(name: str, revision: str | None = None, *, weights: bool = False) -> LocalCopy:
    """The files of `name`, those of `weights` too if asked for. A branch means the same commit as long as the process
    lives, so that no run is made of two.

    Raises `UserError` for a name that is neither here nor on the Hub, or that this user or machine cannot have.
    """
    wanted = reference(name, revision)
    if wanted.repo_id is None:
        return LocalCopy(wanted, Path(name))
    commit = _snapshot(wanted.repo_id, wanted.revision or constants.DEFAULT_REVISION).name
    return LocalCopy(wanted, _snapshot(wanted.repo_id, commit, weights=weights), commit)


def same_weights(repo_id: str, one: str, other: str) -> bool:
    """Whether two revisions of a repository differ at most in what is no part of the model, such as the card."""
    return one == other or _model_files(repo_id, one) == _model_files(repo_id, other)


@cache
def _snapshot(repo_id: str, revision: str, *, weights: bool = False) -> Path:
    """The folder of a commit in the cache; it is named by the commit."""
    if not sys.stderr.isatty():
        disable_progress_bars()  # a log file is no place for a moving bar
    patterns = [*_DESCRIPTIONS, *(_WEIGHTS if weights else [])]
    with _one_line_errors(repo_id, revision):
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=patterns, ignore_patterns=_LEFT_OUT))


def _model_files(repo_id: str, revision: str) -> dict[str, str]:
    """The files that make the model, each with git's hash."""
    with _one_line_errors(repo_id, revision):
        files = [one for one in HfApi().list_repo_tree(repo_id, revision=revision) if isinstance(one, RepoFile)]
    parts = ("config.json", "tokenizer.json")
    return {one.path: one.blob_id for one in files if one.path in parts or one.path.endswith(".safetensors")}


@contextmanager
def _one_line_errors(repo_id: str, revision: str) -> Iterator[None]:
    """Word what the Hub or the way to it refuses as one `UserError`."""
    asked = "asked with a token" if get_token() else "asked without a token"
    try:
        yield
    except GatedRepoError as error:
        raise UserError(
            expected=f"the files of {repo_id}",
            got=f"a gated repository ({asked})",
            remedy=f"ask for access at {constants.ENDPOINT}/{repo_id}, and log in with `hf auth login`",
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(
            expected=f"a branch, tag or commit {revision} of {repo_id}", got="none", remedy="check the revision"
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            expected=f"a folder {repo_id}, or a repository of this name at {constants.ENDPOINT}",
            got=f"no such folder, and no such repository or a private one ({asked})",
            remedy="check the path or the id; for a private repository log in with `hf auth login`",
        ) from error
    except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
        raise UserError(
            expected=f"a folder {repo_id}, or that repository at {constants.ENDPOINT} or in the cache",
            got=f"no such folder, no complete copy in the cache, and {_why(error, asked)}",
            remedy="check the path, or the id and the network",
        ) from error


def _why(error: BaseException, asked: str) -> str:
    """What stood between this machine and the Hub."""
    root = error
    while root.__cause__ is not None and not isinstance(root, HTTPError):
        root = root.__cause__
    if isinstance(root, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(root, HfHubHTTPError):
        status = root.response.status_code
        return f"a token that the Hub does not know ({asked})" if status == 401 else f"the answer {status} ({asked})"
    if isinstance(root, HTTPError):
        return f"no answer ({type(root).__name__})"
    return " ".join(str(root).split())[:200]
