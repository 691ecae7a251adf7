"""build_preferences.py and dpo.py as a user runs them, on the chain's adapter and base."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines.dpo import main
from pipelines.errors import UserError
from tests.conftest import RunCli, one_line_error

KEYS = """
max_length: 128
max_steps: 4
per_device_train_batch_size: 4
learning_rate: 1.0e-3
logging_steps: 1
eval_strategy: steps
eval_steps: 2
save_strategy: steps
save_steps: 2
bf16: false
activation_checkpointing: false
report_to: none
disable_tqdm: true
"""


def pair(name: str, n: int) -> dict[str, str]:
    asked = f"Write a Python function {name}_{n}(x)"
    return {
        "instruction": asked,
        "chosen": f"def {name}_{n}(x):\n    return x + {n}",
        "rejected": "I would rather not.",
    }


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="session")
def preferences(chain: Path, run_cli: RunCli) -> Path:
    """Rows in pairs.jsonl, the dataset folder of them in preferences/, and the recipe dpo.yaml."""
    rows = [pair(name, n) for name in ("add", "join", "first", "last", "square") for n in range(8)]
    (chain / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (chain / "dpo.yaml").write_text(KEYS)
    run_cli("data_prep/build_preferences.py", "--source", chain / "pairs.jsonl", "--output", chain / "preferences",
            "--validation_size", "0.2", "--test_size", "0.1")  # fmt: skip
    return chain / "preferences"


@pytest.fixture(scope="session")
def preferred(chain: Path, preferences: Path, run_cli: RunCli) -> Path:
    """A run on the chain's adapter."""
    done = run_cli("pipelines/dpo.py", "--config", chain / "dpo.yaml", "--adapter_name_or_path", chain / "instruct",
                   "--dataset_name", preferences, "--output_dir", chain / "preferred")  # fmt: skip
    assert "held-out pairs: the chosen answer is likelier in" in done.stdout
    return chain / "preferred"


def test_the_run_folder_holds_one_adapter_that_plain_libraries_load(chain: Path, preferred: Path) -> None:
    assert not list(preferred.rglob("ref"))
    tokenizer = AutoTokenizer.from_pretrained(preferred)
    assert tokenizer.eos_token == "<|im_end|>"
    base = AutoModelForCausalLM.from_pretrained(chain / "base")
    base.resize_token_embeddings(len(tokenizer))
    model = PeftModel.from_pretrained(base, preferred)
    assert list(model.peft_config) == ["default"]
    trained, before = (load_file(f / "adapter_model.safetensors") for f in (preferred, chain / "instruct"))
    assert trained.keys() == before.keys()
    moved = [name for name in trained if not torch.equal(trained[name], before[name])]
    assert {name for name in trained if "lora_" in name or "trainable_tokens" in name} == set(moved)


def test_the_record_says_what_held_out_pairs_gained(chain: Path, preferences: Path, preferred: Path) -> None:
    record = record_of(preferred)
    assert record["status"] == "finished"
    assert record["base"]["path"] == str(chain / "base")
    assert record["adapter"]["path"] == str(chain / "instruct")
    pairs = record["metrics"]["held_out_pairs"]
    manifest = json.loads((preferences / "manifest.json").read_text())
    assert pairs["n_pairs"] == manifest["n_rows"]["validation"]
    assert pairs["largest_gap_to_reference_before"] == 0
    assert pairs["reward_accuracy"]["before"]["n_ties"] == pairs["n_pairs"]
    assert pairs["reward_margin"]["after"]["value"] > 0
    assert pairs["likelihood_accuracy"]["after"]["ci95"][1] <= 1
    assert json.loads((preferred / "ledger.json").read_text())["kept"] == manifest["n_rows"]["train"]


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    chain: Path, preferences: Path, preferred: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(preferred, folder)
    shutil.rmtree(folder / "checkpoint-4")
    (folder / "run.json").write_text(json.dumps({**record_of(folder), "status": "started"}))
    run_cli("pipelines/dpo.py", "--config", chain / "dpo.yaml", "--adapter_name_or_path", chain / "instruct",
            "--dataset_name", preferences, "--output_dir", folder, "--resume")  # fmt: skip
    straight, resumed = (load_file(f / "adapter_model.safetensors") for f in (preferred, folder))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert record_of(folder)["metrics"]["held_out_pairs"] == record_of(preferred)["metrics"]["held_out_pairs"]


def test_full_training_reads_trl_messages_and_the_result_can_be_preferred_by_a_new_adapter(
    chain: Path, preferences: Path, tmp_path: Path
) -> None:
    rows = [
        {"prompt": [{"role": "user", "content": row["instruction"]}],
         "chosen": [{"role": "assistant", "content": row["chosen"]}],
         "rejected": [{"role": "assistant", "content": row["rejected"]}]}
        for row in (pair("add", n) for n in range(8))
    ]  # fmt: skip
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    common = ("--config", chain / "dpo.yaml", "--dataset_name", tmp_path / "pairs.json", "--eval_strategy", "no",
              "--max_steps", "1", "--save_strategy", "no")  # fmt: skip
    assert preferences.is_dir()
    main([*map(str, (*common, "--model_name_or_path", chain / "base", "--output_dir", tmp_path / "full"))])
    assert (tmp_path / "full" / "model.safetensors").is_file()
    options = (*common, "--model_name_or_path", tmp_path / "full", "--use_peft", "true")
    main([*map(str, (*options, "--output_dir", tmp_path / "adapter"))])
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()


def arguments_for(chain: Path, dataset: Path, output: Path) -> list[str]:
    pairs = {"--config": chain / "dpo.yaml", "--adapter_name_or_path": chain / "instruct", "--dataset_name": dataset,
             "--eval_strategy": "no", "--doctor": "off", "--output_dir": output}  # fmt: skip
    return [str(word) for pair in pairs.items() for word in pair]


def test_nothing_but_equal_answers_is_one_line_and_exit_code_2(
    chain: Path, preferences: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    equal = {**pair("add", 1), "rejected": f" {pair('add', 1)['chosen']}\n"}
    (tmp_path / "equal.jsonl").write_text((json.dumps(equal) + "\n") * 2)
    arguments = arguments_for(chain, tmp_path / "equal.jsonl", tmp_path / "run")
    assert "none of 2 pairs is usable within max_length" in one_line_error(
        run_cli("pipelines/dpo.py", *arguments, expect=2)
    )
    assert preferences.is_dir()
    assert not (tmp_path / "run" / "trainer_state.json").exists()


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("--dataset_name", "instructions.jsonl", "instruction + input + chosen + rejected"),
        ("--model_name_or_path", "other", "was trained on"),
        ("--long_rows", "split", "long_rows"),
        ("--max_length", "4", "raise max_length"),
        ("--learnig_rate", "1", "did you mean `learning_rate`?"),
        ("--adapter_name_or_path", "absent", "absent"),
    ],
)
def test_bad_input_is_refused_before_any_step(
    chain: Path, preferences: Path, tmp_path: Path, key: str, value: str, complaint: str
) -> None:
    (tmp_path / "instructions.jsonl").write_text(json.dumps({"instruction": "x", "output": "y"}) + "\n")
    shutil.copytree(chain / "base", tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    save_file({name: 1 + x for name, x in weights.items()}, tmp_path / "other" / "model.safetensors", {"format": "pt"})
    given = tmp_path / value
    arguments = arguments_for(chain, preferences, tmp_path / "run")
    with pytest.raises(UserError) as refused:
        main([*arguments, key, str(given) if given.exists() else value])
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run" / "trainer_state.json").exists()
