"""pretrain.py and sft.py as a user runs them, from a recipe to a run folder that plain libraries load."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.conftest import PROJECT, one_line_error
from tests.run_files import logged, read_json, record_of, write_jsonl


def sft(chain: Path, output: Path, *more: str | Path, recipe: Path | None = None) -> list[str | Path]:
    """The command of sft.py on the chain."""
    return ["pipelines/sft.py", "--config", recipe or chain / "sft.yaml", "--model_name_or_path", chain / "base",
            "--dataset_name", chain / "instructions", "--output_dir", output, *more]  # fmt: skip


def test_pretraining_from_scratch_learns_and_plain_transformers_loads_it(chain):
    record = record_of(chain / "base")
    assert record["status"] == "finished"
    assert record["metrics"]["eval_bits_per_byte"] > 0
    assert record["n_tokens"] == 20 * 4 * 64
    assert record["peak_memory_bytes"] > 1 << 20
    losses = logged(chain / "base", "loss")
    assert losses[-1] < losses[0] - 1
    model = AutoModelForCausalLM.from_pretrained(chain / "base", use_safetensors=True)
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(chain / "base")) == 320


def test_pretraining_continues_from_a_checkpoint_in_another_dtype(chain, tmp_path, run_cli):
    run_cli("pipelines/pretrain.py", "--dataset_name", chain / "corpus.txt", "--model_name_or_path", chain / "base",
            "--max_length", "64", "--max_steps", "2", "--output_dir", tmp_path / "more", "--save_dtype", "bfloat16",
            "--report_to", "none", "--save_strategy", "no", "--logging_steps", "1")  # fmt: skip
    assert logged(tmp_path / "more", "loss")[0] < logged(chain / "base", "loss")[0] - 1
    weights = load_file(tmp_path / "more" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert record_of(tmp_path / "more")["base"]["fingerprint"].startswith("sha256:")


def test_the_record_has_base_rows_metrics_and_recipe(chain):
    record = record_of(chain / "instruct")
    assert record["status"] == "finished"
    assert record["base"] == {"path": str(chain / "base"), "fingerprint": record["base"]["fingerprint"]}
    assert record["dataset"]["n_rows"] > 50
    assert record["metrics"].keys() >= {"train_loss", "eval_loss"}
    assert record["recipe"]["lora_r"] == 8
    assert record["template_sha256"]
    ledger = read_json(chain / "instruct" / "ledger.json")
    assert ledger["kept"] == ledger["n_rows"] == record["dataset"]["n_rows"]
    assert 0 < ledger["n_tokens_trained"] < ledger["n_tokens"]


def test_a_finished_run_is_not_overwritten(chain, run_cli):
    before = (chain / "instruct" / "run.json").read_bytes()
    done = run_cli(*sft(chain, chain / "instruct"), expect=2)
    assert "a finished run" in one_line_error(done)
    assert (chain / "instruct" / "run.json").read_bytes() == before


def launch(config: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", f"accelerate_configs/{config}"]
    done = subprocess.run([*command, *map(str, arguments)], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_full_fine_tuning_with_packing_by_accelerate_launch(chain, tmp_path):
    launch("cpu.yaml", *sft(chain, tmp_path, "--use_peft", "false", "--packing", "true", "--eval_strategy", "no",
                            "--max_steps", "2", "--save_strategy", "no"))  # fmt: skip
    before, after = (load_file(folder / "model.safetensors") for folder in (chain / "base", tmp_path))
    assert all(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--learnig_rate", "1"], "did you mean `learning_rate`?"),
        (["--max_seq_length", "9", "--torch_dtype", "x"], "2 problems"),
        (["--model_name_or_path", "no/such/model"], "no/such/model"),
        (["--dataset_name", "absent.jsonl"], "absent.jsonl"),
    ],
)
def test_a_wrong_recipe_fails(chain, tmp_path, run_cli, flags, complaint):
    assert complaint in one_line_error(run_cli(*sft(chain, tmp_path / "run", *flags), expect=2))
    assert not (tmp_path / "run" / "adapter_model.safetensors").exists()


def test_float32_without_bfloat16_arithmetic(chain, tmp_path, run_cli, monkeypatch):
    """The two variables take its instructions from a newer processor."""
    for name, value in (("ONEDNN_MAX_CPU_ISA", "AVX2"), ("ATEN_CPU_CAPABILITY", "avx2")):
        monkeypatch.setenv(name, value)
    keys = (chain / "sft.yaml").read_text().replace("bf16: false", "bf16: true").replace("float32", "bfloat16")
    (tmp_path / "sft.yaml").write_text(keys)
    more = ("--max_steps", "1", "--save_strategy", "no")
    done = run_cli(*sft(chain, tmp_path / "run", *more, recipe=tmp_path / "sft.yaml"))
    assert done.stderr.count("computing in float32: this processor has no bfloat16 arithmetic (measured ") == 1
    for name in ("run.json", "lock.json"):
        precision = read_json(tmp_path / "run" / name)["precision"]
        assert (precision["choice"], precision["wish"], precision["wished_by"]) == ("float32", "bfloat16", "recipe")


def test_a_recipe_for_trl_sft_runs_unchanged(tiny_model_folder, tmp_path, run_cli):
    for name in ("one", "two"):
        talks = ([("user", f"{name} {n}?"), ("assistant", f"{n}.")] for n in range(10))
        rows = ({"messages": [{"role": role, "content": text} for role, text in talk]} for talk in talks)
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    recipe = (PROJECT / "tests/programs/recipes/trl.yaml").read_text(encoding="utf-8")
    recipe = recipe.replace("MODEL", str(tiny_model_folder)).replace("FOLDER", str(tmp_path))
    (tmp_path / "recipe.yaml").write_text(recipe)
    run_cli("pipelines/sft.py", "--config", tmp_path / "recipe.yaml")
    record = record_of(tmp_path / "run")
    assert record["status"] == "finished"
    assert record["dataset"]["n_rows"] == 16
    assert record["metrics"]["eval_loss"] > 0
    assert {key: record["recipe"][key] for key in ("lora_r", "seed")} == {"lora_r": 8, "seed": 7}
    assert sorted(read_json(tmp_path / "run" / "adapter_config.json")["target_modules"]) == ["q_proj", "v_proj"]
