"""A recipe written for `trl sft` runs here as it is."""

import json
from pathlib import Path

import yaml
from datasets import Dataset

from tests.conftest import RunCli

RECIPE = """
# As `trl sft --config` takes it: ModelConfig, ScriptArguments, DatasetMixtureConfig and SFTConfig in one flat file
model_name_or_path: {model}
dtype: float32
attn_implementation: eager
use_peft: true
lora_r: 8
lora_alpha: 16
lora_target_modules: [q_proj, v_proj]
datasets:
  - path: json
    data_files: {one}
    columns: [messages]
    fraction: 0.5
  - path: json
    data_files: {two}
    columns: [messages]
    fraction: 0.5
test_split_size: 0.2
assistant_only_loss: true
packing: true
packing_strategy: bfd
eval_packing: false
max_length: 128
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 0.1
max_steps: 2
per_device_train_batch_size: 2
gradient_accumulation_steps: 2
gradient_checkpointing: true
bf16: false
logging_steps: 1
eval_strategy: steps
eval_steps: 2
save_strategy: "no"
report_to: none
seed: 7
env:
  SOME_SETTING: "1"
output_dir: {folder}
"""


def test_a_recipe_for_trl_sft_runs_unchanged(tiny_model_folder: Path, tmp_path: Path, run_cli: RunCli) -> None:
    for name in ("one", "two"):
        rows = [
            {"messages": [{"role": "user", "content": f"{name} {n}?"}, {"role": "assistant", "content": f"{n}."}]}
            for n in range(10)
        ]
        Dataset.from_list(rows).to_json(tmp_path / f"{name}.jsonl")
    text = RECIPE.format(
        model=tiny_model_folder, one=tmp_path / "one.jsonl", two=tmp_path / "two.jsonl", folder=tmp_path / "run"
    )
    (tmp_path / "recipe.yaml").write_text(text)
    run_cli("pipelines/sft.py", "--config", tmp_path / "recipe.yaml")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["dataset"]["n_rows"] == 16
    assert record["metrics"]["eval_loss"] > 0
    assert {key: record["recipe"][key] for key in ("lora_r", "seed")} == {"lora_r": 8, "seed": 7}
    config = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    assert yaml.safe_load(text)["datasets"][0]["fraction"] == 0.5
