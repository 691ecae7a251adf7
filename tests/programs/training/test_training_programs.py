"""pretrain.py and sft.py as a user runs them, from a recipe to a run folder that plain libraries load."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tests.conftest import PROJECT, RunCli, one_line_error


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def loss_history(folder: Path) -> list[float]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


def test_pretraining_from_scratch_learns_and_plain_transformers_loads_it(chain: Path) -> None:
    record = record_of(chain / "base")
    assert record["status"] == "finished"
    assert record["metrics"]["eval_bits_per_byte"] > 0
    assert record["n_tokens"] == 20 * 4 * 64
    assert record["peak_memory_bytes"] > 1 << 20
    assert loss_history(chain / "base")[-1] < loss_history(chain / "base")[0] - 1
    model = AutoModelForCausalLM.from_pretrained(chain / "base", use_safetensors=True)
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(chain / "base")) == 320


def test_pretraining_continues_from_a_checkpoint_in_another_dtype(chain: Path, tmp_path: Path, run_cli: RunCli) -> None:
    run_cli("pipelines/pretrain.py", "--dataset_name", chain / "corpus.txt", "--model_name_or_path", chain / "base",
            "--max_length", "64", "--max_steps", "2", "--output_dir", tmp_path / "more", "--save_dtype", "bfloat16",
            "--report_to", "none", "--save_strategy", "no", "--logging_steps", "1")  # fmt: skip
    assert loss_history(tmp_path / "more")[0] < loss_history(chain / "base")[0] - 1
    weights = load_file(tmp_path / "more" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert record_of(tmp_path / "more")["base"]["fingerprint"].startswith("sha256:")


def test_a_fine_tuned_adapter_stops_where_its_template_says_in_plain_libraries(chain: Path) -> None:
    folder = chain / "instruct"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.eos_token == "<|im_end|>"
    assert "<|im_start|>" in tokenizer.chat_template
    assert GenerationConfig.from_pretrained(folder).eos_token_id[0] == tokenizer.eos_token_id
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(chain / "base"), folder)
    moved = [p for name, p in model.named_parameters() if "lora_B" in name]
    assert len(moved) == 14
    assert all(p.abs().max() > 0 for p in moved)


def test_the_run_says_what_it_was_made_of(chain: Path) -> None:
    record = record_of(chain / "instruct")
    assert record["status"] == "finished"
    assert record["base"] == {"path": str(chain / "base"), "fingerprint": record["base"]["fingerprint"]}
    assert record["dataset"]["n_rows"] > 50
    assert record["metrics"].keys() >= {"train_loss", "eval_loss"}
    assert record["recipe"]["lora_r"] == 8
    assert record["template_sha256"]
    ledger = json.loads((chain / "instruct" / "ledger.json").read_text())
    assert ledger["kept"] == ledger["n_rows"] == record["dataset"]["n_rows"]
    assert 0 < ledger["n_tokens_trained"] < ledger["n_tokens"]


def test_a_finished_run_is_not_overwritten(chain: Path, run_cli: RunCli) -> None:
    before = (chain / "instruct" / "run.json").read_bytes()
    done = run_cli("pipelines/sft.py", "--config", chain / "sft.yaml", "--model_name_or_path", chain / "base",
                   "--dataset_name", chain / "instructions", "--output_dir", chain / "instruct", expect=2)  # fmt: skip
    assert "a finished run" in one_line_error(done)
    assert (chain / "instruct" / "run.json").read_bytes() == before


def launch(config: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", f"accelerate_configs/{config}"]
    done = subprocess.run([*command, *map(str, arguments)], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_full_fine_tuning_with_packing_by_accelerate_launch(chain: Path, tmp_path: Path) -> None:
    launch("cpu.yaml", "pipelines/sft.py", "--config", chain / "sft.yaml", "--use_peft", "false", "--packing", "true",
           "--model_name_or_path", chain / "base", "--dataset_name", chain / "rows.jsonl", "--eval_strategy", "no",
           "--max_steps", "2", "--save_strategy", "no", "--output_dir", tmp_path / "full")  # fmt: skip
    before = load_file(chain / "base" / "model.safetensors")
    after = load_file(tmp_path / "full" / "model.safetensors")
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_two_processes_share_one_run_folder_and_one_adapter(chain: Path, tmp_path: Path) -> None:
    launch("cpu_ddp.yaml", "pipelines/sft.py", "--config", chain / "sft.yaml", "--model_name_or_path", chain / "base",
           "--dataset_name", chain / "instructions", "--max_steps", "2", "--save_strategy", "no",
           "--output_dir", tmp_path / "both")  # fmt: skip
    record = record_of(tmp_path / "both")
    assert record["status"] == "finished"
    assert record["n_processes"] == 2
    assert record["n_tokens"] > 0
    assert (tmp_path / "both" / "adapter_model.safetensors").is_file()


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(chain: Path, tmp_path: Path, run_cli: RunCli) -> None:
    """The run is cut back to its checkpoint of step 3, as a power cut after it would leave it."""
    folder = tmp_path / "instruct"
    shutil.copytree(chain / "instruct", folder)
    shutil.rmtree(folder / "checkpoint-6")
    record = record_of(folder)
    (folder / "run.json").write_text(json.dumps({**record, "status": "started"}))
    command = ("pipelines/sft.py", "--config", chain / "sft.yaml", "--model_name_or_path", chain / "base",
               "--dataset_name", chain / "instructions", "--output_dir", folder)  # fmt: skip
    assert "add --resume" in one_line_error(run_cli(*command, expect=2))
    run_cli(*command, "--resume")
    straight, resumed = (load_file(f / "adapter_model.safetensors") for f in (chain / "instruct", folder))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert record_of(folder)["status"] == "finished"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--learnig_rate", "1"], "did you mean `learning_rate`?"),
        (["--max_seq_length", "9", "--torch_dtype", "x"], "2 problems"),
        (["--model_name_or_path", "no/such/model"], "no/such/model"),
        (["--dataset_name", "absent.jsonl"], "absent.jsonl"),
    ],
)
def test_a_recipe_that_cannot_work_is_one_line_and_leaves_the_folder_unfinished(
    chain: Path, tmp_path: Path, run_cli: RunCli, flags: list[str], complaint: str
) -> None:
    done = run_cli("pipelines/sft.py", "--config", chain / "sft.yaml", "--model_name_or_path", chain / "base",
                   "--dataset_name", chain / "instructions", "--output_dir", tmp_path / "run", *flags,
                   expect=2)  # fmt: skip
    assert complaint in one_line_error(done)
    assert not (tmp_path / "run" / "adapter_model.safetensors").exists()


def test_a_processor_without_bfloat16_trains_a_recipe_that_asks_for_it_in_float32(
    chain: Path, tmp_path: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two variables take its instructions from a newer processor."""
    for name, value in (("ONEDNN_MAX_CPU_ISA", "AVX2"), ("ATEN_CPU_CAPABILITY", "avx2")):
        monkeypatch.setenv(name, value)
    recipe = tmp_path / "recipe.yaml"
    keys = (chain / "sft.yaml").read_text().replace("bf16: false", "bf16: true").replace("float32", "bfloat16")
    recipe.write_text(keys)
    done = run_cli(
        "pipelines/sft.py", "--config", recipe, "--model_name_or_path", chain / "base", "--dataset_name",
        chain / "instructions", "--output_dir", tmp_path / "run", "--max_steps", "1", "--save_strategy", "no",
    )  # fmt: skip
    assert done.stderr.count("computing in float32: this processor has no bfloat16 arithmetic (measured ") == 1
    for name in ("run.json", "lock.json"):
        precision = json.loads((tmp_path / "run" / name).read_text())["precision"]
        assert (precision["choice"], precision["wish"], precision["wished_by"]) == ("float32", "bfloat16", "recipe")
