"""merge.py as a user runs it: a folder that plain transformers opens, or none at all."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines.errors import AnswerIsNo, UserError
from pipelines.merge import main
from pipelines.merging import proof as proving
from tests.conftest import PROJECT
from tests.merging.adapters import read_here, save_adapter


@pytest.fixture(scope="module")
def adapter(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tiny_model_folder, tmp_path_factory.mktemp("merge") / "adapter")


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no process for the proof: one test does, by the program itself."""
    monkeypatch.setattr(proving, "in_fresh_process", read_here)


def test_a_merged_folder_is_a_model_that_answers_and_says_how_it_was_proven(adapter, tmp_path, run_cli):
    output = tmp_path / "merged"
    done = run_cli("pipelines/merge.py", "--adapter", adapter, "--output", output, "--max_shard_size", "40KB",
                   "--limit", "5", "--max_new_tokens", "5")  # fmt: skip
    assert "5 of 5 greedy answers equal (fallback prompts)" in done.stdout
    record = json.loads((output / "merge.json").read_text())
    assert record["base"]["fingerprint"].startswith("sha256:")
    assert record["adapters"][0]["fingerprint"].startswith("sha256:")
    assert record["proof"]["kl_mean"] < 1e-10
    assert record["proof"]["n_texts_equal"] == record["proof"]["n_texts"] == 5
    assert record["n_files"] > 1
    assert (output / "model.safetensors.index.json").is_file()
    assert {path.stat().st_mode & 0o777 for path in output.iterdir()} == {0o644}
    assert sorted(path.suffix for path in output.iterdir() if path.suffix not in (".json", ".safetensors")) == [
        ".jinja"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(output), AutoTokenizer.from_pretrained(output)
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    assert model.generate(**chat, max_new_tokens=3, do_sample=False).shape[1] > chat["input_ids"].shape[1]


@pytest.mark.usefixtures("in_this_process")
def test_a_refused_merge_leaves_nothing(adapter, tmp_path):
    words = ["--adapter", adapter, "--output", tmp_path / "merged", "--max_kl", "0", "--limit", "3"]
    with pytest.raises(AnswerIsNo, match=r"differs from the base with its adapter: KL"):
        main([str(word) for word in words])
    assert list(tmp_path.iterdir()) == []


def test_the_adapter_of_another_base_is_refused_with_both_names(adapter, tiny_model_folder, tmp_path):
    other = tmp_path / "other"
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    model.model.norm.weight.data += 1
    model.save_pretrained(other)
    words = ["--adapter", adapter, "--output", tmp_path / "merged", "--model_name_or_path", other]
    with pytest.raises(UserError, match=r"the adapter .* was trained on") as refused:
        main([str(word) for word in words])
    assert str(other) in str(refused.value)
    assert str(tiny_model_folder) in str(refused.value)
    assert not (tmp_path / "merged").exists()


def test_gguf_without_llama_cpp_says_how_to_get_it(adapter, tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    words = ["--adapter", adapter, "--output", tmp_path / "merged", "--gguf", tmp_path / "model.gguf"]
    with pytest.raises(UserError, match=r"git clone https://github\.com/ggml-org/llama"):
        main([str(word) for word in words])
    assert not (tmp_path / "merged").exists()


@pytest.mark.usefixtures("in_this_process")
def test_a_converter_that_fails_is_quoted_and_the_merged_model_stays(adapter, tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    script = "import sys; open(sys.argv[3], 'w').write('half'); sys.exit('BPE pre-tokenizer was not recognized')"
    (tmp_path / "convert_hf_to_gguf.py").write_text(script)
    words: list[Any] = ["--adapter", adapter, "--output", tmp_path / "merged", "--gguf", tmp_path / "model.gguf"]
    with pytest.raises(UserError, match="pre-tokenizer was not recognized"):
        main([str(word) for word in [*words, "--limit", "3", "--max_new_tokens", "3"]])
    assert (tmp_path / "merged" / "merge.json").is_file()
    assert not (tmp_path / "model.gguf").exists()


def test_what_exists_is_not_overwritten(adapter):
    with pytest.raises(UserError, match="is not empty"):
        main(["--adapter", str(adapter), "--output", str(adapter)])


def test_the_fresh_process_imports_nothing_of_peft_or_of_this_project(adapter):
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); assert not {'peft', 'pipelines'} & sys.modules.keys()"
    script = PROJECT / "pipelines" / "merging" / "reload_check.py"
    subprocess.run([sys.executable, "-P", "-c", code, str(script)], check=True, cwd=adapter)
