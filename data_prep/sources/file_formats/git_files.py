"""Read the files of a repository that git tracks: code and prose as documents of a corpus, Python as functions."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import RejectedRow
from data_prep.sources.file_formats.python_files import document_of_python_file, functions_of_python_file
from data_prep.sources.file_formats.text_files import document_of_text_file
from data_prep.sources.rows import Item
from data_prep.sources.walk import skip_reason
from pipelines.errors import UserError

# code and prose; not data, pictures, lock files
TEXT_SUFFIXES = (
    ".py", ".pyi", ".js", ".jsx", ".mjs", ".ts", ".tsx", ".vue", ".svelte", ".java", ".kt", ".kts", ".scala",
    ".groovy", ".clj", ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".cu", ".cuh", ".cs", ".fs",
    ".go", ".rs", ".zig", ".swift", ".m", ".mm", ".rb", ".php", ".pl", ".pm", ".lua", ".r", ".jl",
    ".hs", ".ml", ".mli", ".ex", ".exs", ".erl", ".dart", ".nim", ".sh", ".bash", ".zsh", ".fish", ".ps1",
    ".sql", ".graphql", ".proto", ".tf", ".cmake", ".mk", ".gradle", ".f90", ".v", ".vhd", ".asm", ".s", ".css",
    ".scss", ".less", ".html", ".htm", ".md", ".markdown", ".mdx", ".rst", ".txt", ".tex", ".adoc", ".org", ".toml",
    ".yaml", ".yml", ".ini", ".cfg",
)  # fmt: skip
_NAMES = ("Makefile", "Dockerfile", "Justfile", "CMakeLists.txt", "Rakefile", "Gemfile", "Procfile")


def tracked_files(root: Path, suffixes: Sequence[str], source: str) -> tuple[list[Path], list[RejectedRow]]:
    """Return the tracked files below `root` with one of `suffixes`, sorted, and what was skipped with its reason.

    They are read as they are on disk. Raises `UserError` if `root` is in no repository.
    """
    found, rejected = [], []
    for name in _git(root, "ls-files", "-z").split("\0"):
        if not name:
            continue
        path = root / name
        if reason := _reason(path, Path(name), suffixes):
            rejected.append(RejectedRow(source, name, reason))
        else:
            found.append(path)
    return sorted(found), sorted(rejected, key=lambda row: row.source_row)


def _reason(path: Path, relative: Path, suffixes: Sequence[str]) -> str | None:
    if path.is_symlink():
        return "symbolic_link"  # it may lead out of the repository
    if not path.is_file():
        return "submodule" if path.is_dir() else "missing_file"
    if path.suffix.lower() not in suffixes and path.name not in _NAMES:
        return "other_file_type"
    return skip_reason(relative)


def commit_of(root: Path) -> dict[str, Any]:
    """Return the commit that is checked out, for the manifest."""
    return {"commit": _git(root, "rev-parse", "HEAD").strip()}


def document_of_tracked_file(path: Path, root: Path, source: str) -> list[Item]:
    """Return one tracked file as one document; its group is its path, or its module."""
    read = document_of_python_file if path.suffix == ".py" else document_of_text_file
    return read(path, root, source)


def functions_of_tracked_file(path: Path, root: Path, source: str) -> list[Item]:
    """Return the functions of one tracked Python file."""
    if path.suffix == ".py":
        return functions_of_python_file(path, root, source)
    return [RejectedRow(source, path.relative_to(root).as_posix(), "not_python")]


def _git(root: Path, *command: str) -> str:
    # a repository's own configuration must not start programs
    options = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false"]
    try:
        done = subprocess.run(["git", *options, *command], cwd=root, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise UserError("--format git needs the program git", "install git, or use another --format") from error
    if done.returncode != 0:
        reason = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"])[0]
        raise UserError(f"git cannot list {root}: {reason}", "name a folder of a git repository with a commit")
    return done.stdout.decode("utf-8", "surrogateescape")
