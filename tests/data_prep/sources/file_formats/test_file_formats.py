"""Files of a repository, web pages, Python classes."""

import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.dataset_folder import DatasetKind
from data_prep.sources.formats import FILE_FORMATS, recognize
from data_prep.sources.rows import SourceRow
from pipelines.errors import UserError
from tests.data_prep.sources.reading import ReadSource, read_source

CORPUS, INSTRUCTIONS = DatasetKind.CORPUS, DatasetKind.INSTRUCTIONS


def read(
    root: Path, format_name: str, kind: DatasetKind = CORPUS
) -> tuple[ReadSource, list[SourceRow], dict[str, str]]:
    found = read_source(root, kind, format=format_name)
    return found, found.rows, dict(found.reasons)


def git(root: Path, *command: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", *who, *command], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path) -> Path:
    files = {
        "pkg/a.py": 'def add(a, b):\n    """Add."""\n    return a + b\n', "README.md": "# Read me",
        "Makefile": "all:\n", "data.bin": "x", ".github/ci.yml": "a: b", "tests/test_a.py": "x = 1",
        "ignored.py": "x = 1", "gone.py": "x = 1", "ü.txt": "Umlaut", ".gitignore": "ignored.py",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "link.py").symlink_to("/etc/hostname")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "Begin")
    (tmp_path / "gone.py").unlink()
    (tmp_path / "untracked.py").write_text("x = 1")
    return tmp_path


def test_only_tracked_files_are_documents_and_the_commit_is_recorded(repository):
    plan, rows, rejected = read(repository, "git")
    assert {row.source_row: row.group for row in rows} == {
        "pkg/a.py": "pkg.a", "README.md": "README.md", "Makefile": "Makefile", "ü.txt": "ü.txt",
    }  # fmt: skip
    assert rejected == {
        ".github/ci.yml": "hidden_folder", ".gitignore": "other_file_type", "data.bin": "other_file_type",
        "gone.py": "missing_file", "link.py": "symbolic_link", "tests/test_a.py": "test_folder",
    }  # fmt: skip
    assert plan.entry["commit"] == git(repository, "rev-parse", "HEAD").strip()


def test_python_files_of_a_repository_are_functions(repository):
    _, rows, rejected = read(repository, "git", INSTRUCTIONS)
    assert [row.fields["instruction"] for row in rows] == ["Write a Python function add(a, b). Add."]
    assert rejected["README.md"] == "not_python"


def test_a_repository_cannot_start_a_program(repository):
    git(repository, "config", "core.fsmonitor", "touch started; false")
    read(repository, "git")
    assert not (repository / "started").exists()


def test_a_folder_without_a_repository_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match=r"git cannot list .*: fatal: not a git repository"):
        read(tmp_path, "git")


PAGE = """<html><head><title>Eggs</title></head><body><nav><a href="/">Home</a> <a href="/shop">Shop</a></nav>
<article><h1>Boiling eggs</h1><p>Put the eggs into boiling water and wait for seven minutes until they are soft
inside, then cool them under cold water so that the shell comes off.</p><p>A goose egg needs twelve minutes, because
it is three times as heavy as the egg of a hen, and its shell is thicker.</p></article>
<footer>Copyright, cookies and imprint</footer></body></html>"""


def test_a_web_page_is_its_main_text(tmp_path):
    pytest.importorskip("trafilatura", exc_type=ImportError)
    (tmp_path / "eggs.html").write_text(PAGE)
    (tmp_path / "empty.htm").write_text(" ")
    (tmp_path / "menu.html").write_text("<html><body></body></html>")
    assert recognize(tmp_path, CORPUS) == "html"
    _, [row], rejected = read(tmp_path, "auto")
    assert "seven minutes" in row.fields["text"]
    assert "Shop" not in row.fields["text"]
    assert "imprint" not in row.fields["text"]
    assert rejected == {"empty.htm": "empty_text", "menu.html": "no_main_text"}


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(UserError, match=r"trafilatura cannot be imported: .*; pip install -e '.\[html\]'"):
        FILE_FORMATS["html"].refuse_missing_extra()


CLASS = '''
class Stack(list, metaclass=type):
    """A stack of items.

    More words.
    """

    limit = 3

    def push(self, item):
        """Add an item."""
        self.append(item)

    def top(self):
        return self[-1]

    def _hidden(self): ...


class Bare:
    x = 1
'''


def test_classes_are_asked_for_with_their_methods_when_wanted(tmp_path):
    (tmp_path / "stack.py").write_text(CLASS)
    _, functions, _ = read(tmp_path, "auto", INSTRUCTIONS)
    _, rows, rejected = read(tmp_path, "python_classes", INSTRUCTIONS)
    assert rows[:-1] == functions
    asked = "Write a Python class Stack(list, metaclass=type) with the methods push(self, item) and top(self)."
    assert rows[-1].fields["instruction"] == f"{asked} A stack of items."
    assert rows[-1].fields["output"].startswith("class Stack(list, metaclass=type):\n    limit = 3\n\n    def push")
    assert (rows[-1].source_row, rows[-1].group) == ("stack.py:2:Stack", "stack")
    assert rejected["stack.py:20:Bare"] == "no_docstring"
