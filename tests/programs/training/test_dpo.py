"""build_preferences.py and dpo.py as a user runs them, on the chain's adapter and base."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file

from pipelines.dpo import main
from pipelines.errors import UserError
from tests.conftest import RunCli
from tests.run_files import adapter_weights, read_json, record_of, write_jsonl

KEYS = {
    "max_length": 128, "max_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "logging_steps": 1,
    "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2, "bf16": False,
    "activation_checkpointing": False, "report_to": "none", "disable_tqdm": True,
}  # fmt: skip


def pair(name: str, n: int) -> dict[str, str]:
    chosen = f"def {name}_{n}(x):\n    return x + {n}"
    return {
        "instruction": f"Write a Python function {name}_{n}(x)",
        "chosen": chosen,
        "rejected": "I would rather not.",
    }


@pytest.fixture(scope="session")
def preferences(chain: Path, run_cli: RunCli) -> Path:
    """Rows in pairs.jsonl, the dataset folder of them in preferences/, and the recipe dpo.yaml."""
    rows = [pair(name, n) for name in ("add", "join", "first", "last", "square") for n in range(8)]
    write_jsonl(chain / "pairs.jsonl", rows)
    (chain / "dpo.yaml").write_text(yaml.safe_dump(KEYS))
    run_cli("data_prep/build_preferences.py", "--source", chain / "pairs.jsonl", "--output", chain / "preferences",
            "--validation_size", "0.2", "--test_size", "0.1")  # fmt: skip
    return chain / "preferences"


def command(chain: Path, output: Path, *more: str | Path) -> list[str]:
    words = ("--config", chain / "dpo.yaml", "--adapter_name_or_path", chain / "instruct", "--dataset_name",
             chain / "preferences", "--output_dir", output, *more)  # fmt: skip
    return [str(word) for word in words]


@pytest.fixture(scope="session")
def preferred(chain: Path, preferences: Path, run_cli: RunCli) -> Path:
    """A run on the chain's adapter."""
    assert preferences.is_dir()
    done = run_cli("pipelines/dpo.py", *command(chain, chain / "preferred"))
    assert "held-out pairs: the chosen answer is more likely in" in done.stdout
    return chain / "preferred"


def test_the_record_says_what_held_out_pairs_gained(chain, preferences, preferred):
    assert adapter_weights(preferred).keys() == adapter_weights(chain / "instruct").keys()
    record = record_of(preferred)
    assert record["status"] == "finished"
    assert record["base"]["path"] == str(chain / "base")
    assert record["adapter"]["path"] == str(chain / "instruct")
    pairs = record["metrics"]["held_out_pairs"]
    manifest = read_json(preferences / "manifest.json")
    assert pairs["n_pairs"] == manifest["n_rows"]["validation"]
    assert pairs["largest_gap_to_reference_before"] == 0
    assert pairs["reward_accuracy"]["before"]["n_ties"] == pairs["n_pairs"]
    assert pairs["reward_margin"]["after"]["value"] > 0
    assert pairs["likelihood_accuracy"]["after"]["ci95"][1] <= 1
    assert read_json(preferred / "ledger.json")["kept"] == manifest["n_rows"]["train"]


@pytest.mark.usefixtures("preferences")
def test_full_training_reads_trl_messages_and_an_adapter_can_follow(chain, tmp_path):
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    columns = {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}
    rows = [
        {name: [{"role": role, "content": row[columns[name]]}] for name, role in roles.items()}
        for row in (pair("add", n) for n in range(8))
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    common = f"--config {chain}/dpo.yaml --dataset_name {tmp_path}/pairs.json --eval_strategy no --max_steps 1"
    common += " --save_strategy no"
    main(f"{common} --model_name_or_path {chain}/base --output_dir {tmp_path}/full".split())
    assert (tmp_path / "full" / "model.safetensors").is_file()
    main(f"{common} --model_name_or_path {tmp_path}/full --use_peft true --output_dir {tmp_path}/adapter".split())
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("--dataset_name", "instructions.jsonl", "instruction + input + chosen + rejected"),
        ("--dataset_name", "equal.jsonl", "none of 2 pairs is usable within max_length"),
        ("--model_name_or_path", "other", "was trained on"),
        ("--long_rows", "split", "long_rows"),
        ("--max_length", "4", "raise max_length"),
        ("--learnig_rate", "1", "did you mean `learning_rate`?"),
        ("--adapter_name_or_path", "absent", "absent"),
    ],
)
@pytest.mark.usefixtures("preferences")
def test_bad_input_is_one_line(chain, tmp_path, key, value, complaint):
    write_jsonl(tmp_path / "instructions.jsonl", [{"instruction": "x", "output": "y"}])
    write_jsonl(tmp_path / "equal.jsonl", [{**pair("add", 1), "rejected": f" {pair('add', 1)['chosen']}\n"}] * 2)
    shutil.copytree(chain / "base", tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    save_file({name: 1 + x for name, x in weights.items()}, tmp_path / "other" / "model.safetensors", {"format": "pt"})
    given = tmp_path / value
    more = ("--eval_strategy", "no", "--doctor", "off", key, given if given.exists() else value)
    with pytest.raises(UserError) as refused:
        main(command(chain, tmp_path / "run", *more))
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run" / "trainer_state.json").exists()
