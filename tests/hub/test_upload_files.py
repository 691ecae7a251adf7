"""Which files of a run are uploaded, and what is changed in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.hub.base import HubBase
from pipelines.hub.upload_files import UploadFile, gguf_files, is_published, run_files
from tests.hub.run_folder import (
    CARD,
    COMMIT,
    KEPT_BACK,
    PUBLISHED,
    lock_of,
    write_base,
    write_json,
    write_run,
    write_weights,
)

BASE = HubBase("me/base", COMMIT)


def files_of(folder: Path, base: HubBase | None = BASE, **more: Any) -> dict[str, UploadFile]:
    return {file.name: file for file in run_files(folder, lock=lock_of(), base=base, card=CARD, **more)}


def text_of(file: UploadFile) -> str:
    return file.read(file.n_bytes).decode()


def test_an_adapter_leaves_with_what_loads_and_explains_it_and_nothing_else(tmp_path):
    files = files_of(write_run(tmp_path / "run"))
    assert files.keys() == PUBLISHED
    assert not files.keys() & KEPT_BACK.keys()
    assert text_of(files["README.md"]) == CARD
    assert list(files) == sorted(files)


def test_the_adapter_names_its_base_by_the_hubs_id_and_commit(tmp_path):
    files = files_of(write_run(tmp_path / "run"))
    config = json.loads(text_of(files["adapter_config.json"]))
    assert (config["base_model_name_or_path"], config["revision"], config["r"]) == ("me/base", COMMIT, 4)
    base = json.loads(text_of(files["lock.json"]))["base"]
    assert base == {
        "name_or_path": "me/base", "revision": COMMIT, "fingerprint": f"hub:me/base@{COMMIT}", "license": "mit",
    }  # fmt: skip


def test_paths_are_cut_in_the_lock_but_not_in_its_diff(tmp_path):
    lock = json.loads(text_of(files_of(write_run(tmp_path / "run"))["lock.json"]))
    assert lock["recipe"] == {"dataset_name": "rows.jsonl", "output_dir": "runs/mine", "learning_rate": 1e-4}
    assert lock["datasets"][0]["path"] == "rows.jsonl"
    assert lock["git"]["diff"] == "+ a line with /opt/thing/path\n"


def test_a_tokenizer_does_not_say_where_it_was_loaded(tmp_path):
    config = json.loads(text_of(files_of(write_run(tmp_path / "run"))["tokenizer_config.json"]))
    assert config == {"eos_token": "a"}


def test_every_file_of_a_tokenizer_leaves_its_further_templates_too(tmp_path):
    run = write_run(tmp_path / "run")
    of_a_tokenizer = ["tekken.json", "additional_chat_templates/tool_use.jinja"]
    for name in (*of_a_tokenizer, "checkpoint-1/chat_template.jinja"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("{}")
    assert files_of(run).keys() == PUBLISHED | set(of_a_tokenizer)


def test_weights_leave_as_they_are(tmp_path):
    folder = write_run(tmp_path / "run")
    assert files_of(folder)["adapter_model.safetensors"].content == folder / "adapter_model.safetensors"


def test_a_whole_model_in_shards_leaves_with_its_index(tmp_path):
    folder = write_base(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    for number in (1, 2):
        write_weights(folder / f"model-0000{number}-of-00002.safetensors", seed=number)
    write_json(folder / "model.safetensors.index.json", {"weight_map": {}})
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    assert files_of(folder, base=None).keys() == {
        "README.md", "config.json", "lock.json", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


def test_the_evaluations_records_go_along_and_its_answers_do_not(tmp_path):
    records = tmp_path / "comparison"
    records.mkdir()
    write_json(records / "comparison.json", {"models": [{"path": "/home/x/runs/mine", "n": 3}]})
    write_json(records / "perplexity.json", {"kind": "perplexity"})
    write_json(records / "report.json", {})
    (records / "responses.jsonl").write_text("{}")
    files = files_of(write_run(tmp_path / "run"), records=(records,))
    assert files.keys() == PUBLISHED | {"comparison.json", "perplexity.json"}
    assert json.loads(text_of(files["comparison.json"])) == {"models": [{"path": "mine", "n": 3}]}


def test_no_answer_that_repeats_a_training_row_leaves_in_the_comparison(tmp_path):
    records = tmp_path / "comparison"
    records.mkdir()
    quoted = [{"model": "mine", "id": 1, "n_words": 9, "text": "my number is 0151 234", "row": 7}]
    folder = write_run(tmp_path / "run")
    for others in ({"training_rows": {"n_rows": 9}}, {}):
        write_json(records / "comparison.json", {"details": {"longest_overlaps": quoted, **others}})
        files = files_of(folder, records=(records,))
        assert json.loads(text_of(files["comparison.json"])) == {"details": others}


def test_pickled_weights_alone_are_refused(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="no safetensors weights"):
        files_of(folder)


def test_a_gguf_file_leaves_with_card_and_lock(tmp_path):
    (tmp_path / "mine.gguf").write_bytes(b"GGUF")
    names = {file.name for file in gguf_files(tmp_path / "mine.gguf", lock=lock_of(), base=BASE, card=CARD)}
    assert names == {"README.md", "lock.json", "mine.gguf"}
    (tmp_path / "mine.Modelfile").write_text("FROM ./mine.gguf")
    names = {file.name for file in gguf_files(tmp_path / "mine.gguf", lock=lock_of(), base=BASE, card=CARD)}
    assert names == {"README.md", "lock.json", "mine.gguf", "mine.Modelfile"}
    with pytest.raises(UserError, match="there is no file"):
        gguf_files(tmp_path / "none.gguf", lock=lock_of(), base=BASE, card=CARD)
    for name, content in {"optimizer.pt": b"GGUF", "pickle.gguf": b"PK\x03\x04"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="is not a GGUF file"):
            gguf_files(tmp_path / name, lock=lock_of(), base=BASE, card=CARD)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "model-00001-of-00009.safetensors",
        "x.gguf",
        "perplexity.json",
        "additional_chat_templates/rag.jinja",
    ],
)
def test_a_push_owns_the_names_that_it_writes(name):
    assert is_published(name)


@pytest.mark.parametrize(
    "name", [".gitattributes", "figure.png", "notes.md", "training_args.bin", "a/README.md", "model/1.safetensors"]
)
def test_a_push_owns_no_other_names(name):
    assert not is_published(name)
