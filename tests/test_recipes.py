"""Every shipped recipe is found, opened, parsed strictly, and run for two steps on a tiny twin of its model."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from pipelines.recipe import parse_recipe
from tests.twins.models import ARCHITECTURES
from tests.twins.runs import KINDS, OURS, PROJECT, RECIPES, TwinRuns, keys_of, recipe_that_writes, weights_of

HUB_RECIPES = [path for path in RECIPES if path.parents[1].name not in OURS]


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT / "recipes").with_suffix(""))


every_recipe = pytest.mark.parametrize("path", RECIPES, ids=name_of)


def test_there_are_recipes_for_every_stage_and_model():
    assert {path.parent.name for path in RECIPES} == KINDS.keys()
    for model in ARCHITECTURES:
        assert {path.parent.name for path in RECIPES if path.parents[1].name == model} == KINDS.keys()


@every_recipe
def test_a_shipped_recipe_is_understood_to_the_last_key(path, tmp_path):
    recipe = parse_recipe(KINDS[path.parent.name], ["--config", str(path), "--output_dir", str(tmp_path / "run")])
    written = yaml.safe_load(path.read_text())
    values = {key: value for part in recipe.arguments for key, value in vars(part).items()}
    for key in written.keys() - {"output_dir"}:
        assert key in values
    for key in ("learning_rate", "max_length", "seed"):
        assert values[key] == written[key]


def test_recipes_have_a_comment_a_readme_their_launch_command_an_output_of_their_own_and_no_hardware_keys():
    hardware = {
        "use_cpu",
        "fsdp",
        "fsdp_config",
        "deepspeed",
        "ddp_backend",
        "tpu_num_cores",
        "dataset_num_proc",
        "fp16",
    }
    wrong = []
    for path in RECIPES:
        text, keys = path.read_text(), keys_of(path)
        command = f"{path.parent.name}.py --config {path.relative_to(PROJECT)}"
        is_whole = text.startswith("# ") and (path.parents[1] / "README.md").is_file()
        has_command = path not in HUB_RECIPES or command in text.replace(" \\\n#    ", "")
        # bf16: false is a choice, bf16: true depends on the machine
        if not is_whole or not has_command or keys.keys() & hardware or keys.get("bf16"):
            wrong.append(name_of(path))
    assert wrong == []
    outputs = [keys_of(path)["output_dir"] for path in RECIPES]
    assert len(set(outputs)) == len(outputs)


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory, shared_tokenizers: Path) -> Iterator[TwinRuns]:
    folder = tmp_path_factory.mktemp("twins")
    with pytest.MonkeyPatch.context() as patch:
        # `datasets` would hand out an older twin of a set from the user's cache: it looks at the card, not at the rows.
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "cache"))
        yield TwinRuns(folder, shared_tokenizers)


@pytest.fixture(scope="session")
def shared_tokenizers(request: pytest.FixtureRequest) -> Path:
    """The real tokenizers of gpt2 and Qwen where they are at hand, else a folder that is not there."""
    try:
        return Path(request.getfixturevalue("shared_data")) / "tokenizers"
    except pytest.skip.Exception:
        return Path("no-shared-data")


@every_recipe
def test_a_recipe_trains_the_twin_of_its_model(path, twins):
    folder = twins.run(path)
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    logs: list[dict[str, Any]] = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    losses = [log["loss"] for log in logs if "loss" in log]
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    assert any("eval_loss" in log and math.isfinite(log["eval_loss"]) for log in logs)
    assert_trained(path, folder, twins)


def assert_trained(path: Path, folder: Path, twins: TwinRuns) -> None:
    """What the recipe says it trains has moved, in every layer; what an adapter leaves frozen is not in it."""
    keys, weights = keys_of(path), weights_of(folder)
    if "adapter_name_or_path" in keys:
        before = weights_of(twins.run(recipe_that_writes(keys["adapter_name_or_path"])))
        adapted = [name for name in weights if "lora_B" in name]
        assert adapted
        assert all(not torch.equal(weights[name], before[name]) for name in adapted)
    elif keys.get("use_peft"):
        assert any("lora_B" in name for name in weights)
        assert all(tensor.any() for name, tensor in weights.items() if "lora_B" in name)
    elif "model_name_or_path" in keys:
        before = weights_of(twins.model(keys["model_name_or_path"]))
        matrices = [name for name in before if before[name].ndim == 2 and "embed" not in name and "wte" not in name]
        assert matrices
        assert all(not torch.equal(weights[name], before[name]) for name in matrices)


@pytest.mark.parametrize("path", sorted((PROJECT / "accelerate_configs").glob("*.yaml")), ids=lambda p: p.name)
def test_an_accelerate_config_has_only_keys_of_the_installed_accelerate(path):
    """Accelerate refuses unknown keys only at the top level: nested ones become arguments that nothing reads."""
    config = load_config_from_file(str(path))
    assert config.num_processes >= 1
    arguments = {action.dest for action in launch_command_parser()._actions}
    nested = [key for part in vars(config).values() if isinstance(part, dict) for key in part]
    assert sorted(set(nested) - arguments) == []
    assert config.num_machines > 1 or config.num_processes == 1 or config.main_process_port == 0


def test_the_page_lists_all_accelerate_configs():
    page = (PROJECT / "accelerate_configs/README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+\.yaml)`", page, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (PROJECT / "accelerate_configs").glob("*.yaml"))
