"""A name means a folder that exists, else a repository at a revision, and nothing in between."""

from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.hub.references import reference, short_name


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "repo_id", "revision"),
    [
        ("org/name", "org/name", None),
        ("gpt2", "gpt2", None),
        ("org/name@v1.0", "org/name", "v1.0"),
        ("org/name@feature/step-000100", "org/name", "feature/step-000100"),
    ],
)
def test_an_id_may_have_a_revision(name, repo_id, revision):
    found = reference(name)
    assert (found.given, found.repo_id, found.revision) == (name, repo_id, revision)


@pytest.mark.parametrize("name", ["org/name", "org/name@v1"])
def test_what_exists_here_is_a_folder_whatever_its_name(name):
    Path(name).mkdir(parents=True)
    assert reference(name).repo_id is None
    assert reference(name, "v2").revision is None


def test_a_revision_beside_the_name_counts_where_the_name_has_none():
    assert reference("org/name", "v1").revision == "v1"
    assert reference("org/name@v1", "main").revision == "v1"  # main is what TRL's option says of itself
    assert reference("org/name@v1", "v1").revision == "v1"
    with pytest.raises(UserError, match="org/name has two revisions, v1 and v2"):
        reference("org/name@v1", "v2")


@pytest.mark.parametrize("name", ["/nowhere/model", "runs/my/model", "../model", "org/na me", "@v1", "a" * 300])
def test_what_can_be_neither_is_refused(name):
    with pytest.raises(UserError, match=r"there is no folder .*check the path"):
        reference(name)


def test_an_at_without_a_revision_is_refused():
    with pytest.raises(UserError, match="org/name@ has no revision after the @"):
        reference("org/name@")


def test_short_names_keep_the_revision(tmp_path):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    names = ["runs/mine", f"{tmp_path}/runs/mine/", "org/name", "org/name@v1", "gone/mine"]
    assert [short_name(name) for name in names] == ["mine", "mine", "name", "name@v1", "mine"]
