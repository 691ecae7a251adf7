"""A dataset folder on a local Hub, by the real client: what arrives, what stays here, what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from huggingface_hub import HfApi, metadata_load

from data_prep.dataset_folder import DatasetKind, RejectedRow, SplitSizes, write_dataset_folder
from pipelines.errors import UserError
from pipelines.hub.dataset_upload import push_dataset_folder
from tests.conftest import PROJECT
from tests.hub.conftest import FAST_RETRIES
from tests.hub_server.server import Fault

KEY = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
FILES = {
    ".gitattributes", "README.md", "manifest.json", "data/train-00000-of-00001.parquet",
    "data/test-00000-of-00001.parquet",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.hub.repository.RetryPolicy", lambda: FAST_RETRIES)


def build(folder: Path, kind: DatasetKind = DatasetKind.INSTRUCTIONS, in_row: dict | None = None) -> Path:
    """30 rows; `in_row` is written into one of them, which no example on the card shows."""
    rows = [
        {"instruction": f"Say {n}.", "input": "", "output": f"{n}", "source": "rows.jsonl", "source_row": str(n),
         "group": str(n)}
        for n in range(30)
    ]  # fmt: skip
    rows[3] |= in_row or {}
    write_dataset_folder(
        folder, rows, kind=kind, split_sizes=SplitSizes(0, 0.2), seed=0,
        sources=[{"name": "rows.jsonl", "path": "/data/team/rows.jsonl", "sha256": "0" * 64}],
        rejected=[RejectedRow("rows.jsonl", "31", "personal_data", {"instruction": "call 555 0199"})],
        command="python data_prep/build_instructions.py --source /data/team/rows.jsonl",
    )  # fmt: skip
    return folder


@pytest.fixture
def folder(tmp_path):
    return build(tmp_path / "chats")


def test_data_card_and_manifest_arrive_in_a_private_repository(hub, token, folder):
    line = push_dataset_folder(folder, "chats", token=token)
    there = hub.repository("me/chats", "dataset")
    assert there.files().keys() == FILES
    assert there.private
    assert line == f"{hub.url}/datasets/me/chats/tree/main: commit {there.branches['main'][:8]}"
    name = "data/train-00000-of-00001.parquet"
    assert there.files()[name] == (folder / name).read_bytes()


def test_what_cleaning_removed_and_local_paths_stay_here(hub, token, folder):
    push_dataset_folder(folder, "chats", token=token)
    for path, content in hub.repository("me/chats", "dataset").stored():
        for private in (b"555 0199", b"/data/team", token.encode()):
            assert private not in content, path
    manifest = json.loads(hub.repository("me/chats", "dataset").files()["manifest.json"])
    assert manifest["n_rejected"] == {"personal_data": 1}
    assert manifest["command"] == "python data_prep/build_instructions.py --source rows.jsonl"


def test_load_dataset_reads_what_arrived_and_the_hub_its_metadata(hub, token, folder, tmp_path):
    push_dataset_folder(folder, "chats", private=False, token=token)
    code = (
        "import datasets, json; loaded = datasets.load_dataset('me/chats'); "
        "print(json.dumps({name: rows.to_list() for name, rows in loaded.items()}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=hub.environment())
    assert done.returncode == 0, done.stderr
    here = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert json.loads(done.stdout) == {name: rows.to_list() for name, rows in here.items()}
    (tmp_path / "README.md").write_bytes(hub.repository("me/chats", "dataset").files()["README.md"])
    assert "configs" in (metadata_load(tmp_path / "README.md") or {})


def test_a_second_push_replaces_the_folder_and_leaves_files_of_others(hub, token, folder):
    push_dataset_folder(folder, "chats", token=token)
    assert push_dataset_folder(folder, "chats", token=token).endswith("already up to date, nothing sent")
    HfApi(token=token).upload_file(
        repo_id="me/chats", repo_type="dataset", path_or_fileobj=b"png", path_in_repo="figure.png"
    )
    whole = folder / "data/train-00000-of-00001.parquet"
    whole.rename(folder / "data/train-00000-of-00002.parquet")
    empty = datasets.load_dataset("parquet", data_files=str(folder / "data/test-*.parquet"), split="train").select([])
    empty.to_parquet(folder / "data/train-00001-of-00002.parquet")
    push_dataset_folder(folder, "chats", token=token)
    names = hub.repository("me/chats", "dataset").files().keys()
    assert "data/train-00000-of-00001.parquet" not in names
    assert {"figure.png", "data/train-00000-of-00002.parquet"} <= names


@pytest.mark.parametrize("column", ["output", "tools"])
def test_a_token_in_a_row_is_refused_by_its_row_before_any_request(hub, token, tmp_path, column, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "w4nd8-k3y+value")
    for number, secret in enumerate((KEY, "w4nd8-k3y+value")):
        value = [{"name": "a", "description": f"use {secret}"}] if column == "tools" else f"use {secret}"
        folder = build(tmp_path / f"leak{number}", in_row={column: value})
        with pytest.raises(
            UserError, match=r"the upload contains a token in data/train-.*\(row \d\); remove it"
        ) as caught:
            push_dataset_folder(folder, "leak", token=token)
        assert secret not in str(caught.value)
    assert not [path for method, path in hub.requests if method != "GET"]


def test_other_content_is_not_replaced_unasked(token, folder, tmp_path):
    api = HfApi(token=token)
    api.create_repo("me/other", repo_type="dataset")
    api.upload_file(repo_id="me/other", repo_type="dataset", path_or_fileobj=b"# mine", path_in_repo="README.md")
    with pytest.raises(UserError, match=r"main of me/other holds unrelated files \(README\.md\)"):
        push_dataset_folder(folder, "other", token=token)
    push_dataset_folder(folder, "other", token=token, overwrite=True)
    pairs = build(tmp_path / "pairs", DatasetKind.PREFERENCES)
    with pytest.raises(UserError, match=r"holds instructions, expected preferences"):
        push_dataset_folder(pairs, "other", token=token)


def test_a_folder_that_is_not_whole_is_refused(hub, token, folder):
    parquet = folder / "data/train-00000-of-00001.parquet"
    whole = parquet.read_bytes()
    parquet.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="has a broken Parquet file of train"):
        push_dataset_folder(folder, "chats", token=token)
    parquet.unlink()
    with pytest.raises(UserError, match=r"train of .* has 0 rows, expected"):
        push_dataset_folder(folder, "chats", token=token)
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match="is not a dataset folder"):
        push_dataset_folder(folder, "chats", token=token)
    assert hub.requests == []


def test_a_cut_connection_is_retried(hub, token, folder):
    hub.faults = [Fault("POST .*/commit/", lose_answer=True), Fault("PUT", cut_after_bytes=100)]
    push_dataset_folder(folder, "chats", token=token)
    assert hub.repository("me/chats", "dataset").files().keys() == FILES


def test_a_token_without_write_permission_is_refused(hub, folder):
    reader = hub.add_user("guest", role="read")
    with pytest.raises(UserError, match="may not write to guest"):
        push_dataset_folder(folder, "chats", token=reader)


def test_the_program_pushes_a_dataset_folder_and_lists_it_first(hub, token, folder):
    def push(*more):
        command = [sys.executable, str(PROJECT / "pipelines/push.py"), str(folder), "--repo_id", "chats", *more]
        return subprocess.run(command, capture_output=True, text=True, env=hub.environment(token))

    dry = push("--dry_run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.startswith("me/chats: will be created, private\nbranch main (new), 4 files, ")
    assert dry.stdout.endswith("nothing was sent (--dry_run)\n")
    assert ("dataset", "me/chats") not in hub.repositories
    assert "is for models" in push("--merged", str(folder)).stderr
    done = push("--public")
    assert "/datasets/me/chats/tree/main: commit" in done.stdout
    assert not hub.repository("me/chats", "dataset").private
    assert token not in done.stdout + done.stderr


def test_a_build_checks_the_token_first_and_uploads_what_it_wrote(hub, token, tmp_path):
    def run(program, token, *more):
        output = ("--output", str(tmp_path / "folder"))
        command = [sys.executable, str(PROJECT / f"data_prep/{program}.py"), *output, *more]
        return subprocess.run(command, capture_output=True, text=True, env=hub.environment(token))

    rows = [{"question": f"What is {n} plus one?", "answer": f"It is {n + 1}."} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["--source", str(tmp_path / "rows.jsonl"), "--push_to_hub", "me/built"]
    reader = hub.add_user("guest", role="read")
    assert "may not write to me" in run("build_instructions", reader, *flags).stderr
    assert not (tmp_path / "folder").exists()
    assert "--preview builds no folder" in run("build_instructions", token, *flags, "--preview", "1").stderr
    done = run("build_instructions", token, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{hub.url}/datasets/me/built/tree/main: commit ")
    assert hub.repository("me/built", "dataset").private
