"""Find the local files of a model by its name: the user's folder, or the Hub's cache at one commit.

Only safetensors, JSON, templates and vocabularies are downloaded: no pickled weights and no code.
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

# A star matches slashes too. transformers reads these templates and no others.
_DESCRIPTIONS = ["*.json", "chat_template.jinja", "additional_chat_templates/*.jinja", "*.txt", "*.model"]
_WEIGHTS = ["*.safetensors"]
# Checkpoints in subfolders; the second copy of the weights in Mistral's models.
_LEFT_OUT = [*(f"*/{pattern}" for pattern in (*_DESCRIPTIONS, *_WEIGHTS)), "consolidated*"]


@dataclass(frozen=True)
class LocalCopy:
    """A model or adapter on this machine: `folder` is the user's own, or the Hub's snapshot of `commit`."""

    reference: Reference
    folder: Path
    commit: str | None = None

    @property
    def name(self) -> str:
        """The id without the revision, or the folder as given: the name that other libraries use."""
        return self.reference.repo_id or self.reference.given

    @property
    def pinned(self) -> str:
        """org/name@commit, or the folder as given."""
        return f"{self.name}@{self.commit}" if self.commit else self.name

    def has(self, file: str) -> bool:
        """Whether there is a file of this name."""
        return (self.folder / file).is_file()


def local_copy(name: str, revision: str | None = None, *, weights: bool = False) -> LocalCopy:
    """The files of `name`, with `weights` also those. A branch stays at one commit while the process lives, so that a
    run never mixes two.

    Raises `UserError` for a name that is neither a folder nor on the Hub, and for files that cannot be downloaded.
    """
    wanted = reference(name, revision)
    if wanted.repo_id is None:
        return LocalCopy(wanted, Path(name))
    commit = _snapshot(wanted.repo_id, wanted.revision or constants.DEFAULT_REVISION).name
    return LocalCopy(wanted, _snapshot(wanted.repo_id, commit, weights=weights), commit)


def same_weights(repo_id: str, one: str, other: str) -> bool:
    """Whether two revisions of a repository have the same model files, whatever else differs, such as the card."""
    return one == other or _model_files(repo_id, one) == _model_files(repo_id, other)


@cache
def _snapshot(repo_id: str, revision: str, *, weights: bool = False) -> Path:
    """The folder of a commit in the cache; it is named by the commit."""
    if not sys.stderr.isatty():
        disable_progress_bars()  # a log file is not a terminal
    patterns = [*_DESCRIPTIONS, *(_WEIGHTS if weights else [])]
    with _one_line_errors(repo_id, revision):
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=patterns, ignore_patterns=_LEFT_OUT))


def _model_files(repo_id: str, revision: str) -> dict[str, str]:
    """git's hash of each file that belongs to the model."""
    with _one_line_errors(repo_id, revision):
        files = [one for one in HfApi().list_repo_tree(repo_id, revision=revision) if isinstance(one, RepoFile)]
    parts = ("config.json", "tokenizer.json")
    return {one.path: one.blob_id for one in files if one.path in parts or one.path.endswith(".safetensors")}


@contextmanager
def _one_line_errors(repo_id: str, revision: str) -> Iterator[None]:
    """Raise failed downloads as one `UserError`."""
    asked = "requested with a token" if get_token() else "requested without a token"
    try:
        yield
    except GatedRepoError as error:
        fix = f"request access at {constants.ENDPOINT}/{repo_id}, and log in with `hf auth login`"
        raise UserError(f"{repo_id} is a gated repository ({asked})", fix) from error
    except RevisionNotFoundError as error:
        raise UserError(f"{repo_id} has no branch, tag or commit {revision}", "check the revision") from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"there is no folder {repo_id}, and at {constants.ENDPOINT} the repository does not exist or is private "
            f"({asked})",
            "check the path or the id; for a private repository log in with `hf auth login`",
        ) from error
    except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
        raise UserError(
            f"there is no folder {repo_id} and no complete copy in the cache, and the download from "
            f"{constants.ENDPOINT} failed: {_why(error, asked)}",
            "check the path, or the id and the network",
        ) from error


def _why(error: BaseException, asked: str) -> str:
    """The reason for a failed download."""
    root = error
    while root.__cause__ is not None and not isinstance(root, HTTPError):
        root = root.__cause__
    if isinstance(root, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(root, HfHubHTTPError):
        status = root.response.status_code
        return f"the Hub does not accept the token ({asked})" if status == 401 else f"status {status} ({asked})"
    if isinstance(root, HTTPError):
        return f"no answer ({type(root).__name__})"
    return " ".join(str(root).split())[:200]
