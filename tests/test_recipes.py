"""Every shipped recipe is found, opened and parsed strictly; every accelerate config is one that accelerate loads."""

from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from transformers import TrainingArguments
from trl import ModelConfig, SFTConfig

from pipelines.recipe import DataArguments, PretrainingArguments, parse_recipe

PROJECT = Path(__file__).resolve().parents[1]
KINDS = {"pretrain": [PretrainingArguments, TrainingArguments], "sft": [DataArguments, SFTConfig, ModelConfig]}
RECIPES = sorted((PROJECT / "recipes").rglob("*.yaml"))


def test_there_are_recipes_for_every_stage() -> None:
    assert {path.parent.name for path in RECIPES} == KINDS.keys()


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: str(p.relative_to(PROJECT / "recipes")))
def test_a_shipped_recipe_is_understood_to_the_last_key(path: Path, tmp_path: Path) -> None:
    recipe = parse_recipe(KINDS[path.parent.name], ["--config", str(path), "--output_dir", str(tmp_path / "run")])
    written = yaml.safe_load(path.read_text())
    values = {key: value for part in recipe.arguments for key, value in vars(part).items()}
    for key in written.keys() - {"output_dir"}:
        assert key in values
    for key in ("learning_rate", "max_length", "seed"):
        assert values[key] == written[key]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: str(p.relative_to(PROJECT / "recipes")))
def test_a_recipe_is_told_what_it_is_by_its_model_folder(path: Path) -> None:
    assert path.read_text().startswith("# ")
    assert (path.parents[1] / "README.md").is_file()


@pytest.mark.parametrize("path", sorted((PROJECT / "accelerate_configs").glob("*.yaml")), ids=lambda p: p.name)
def test_an_accelerate_config_is_one_that_accelerate_loads(path: Path) -> None:
    config = load_config_from_file(str(path))
    assert config.num_processes >= 1
