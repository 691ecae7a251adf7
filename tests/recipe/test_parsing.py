"""Recipes are strict: what is not understood is refused, all at once, before any weight is loaded."""

from pathlib import Path
from typing import Any

import pytest
from trl import ModelConfig, SFTConfig

from pipelines.errors import UserError
from pipelines.recipe import parse_recipe
from pipelines.recipe.arguments import DataArguments
from pipelines.recipe.parsing import FaultKind, parse_leniently, written_keys
from pipelines.recipe.renamed_keys import RENAMED_KEYS, certain_replacement, successor_of
from tests.run_files import with_bfloat16

KINDS = [DataArguments, SFTConfig, ModelConfig]


def recipe_file(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(f"output_dir: {folder / 'run'}\nreport_to: none\n{text}")
    return path


def refusal(folder: Path, text: str, *flags: str) -> str:
    with pytest.raises(UserError) as caught:
        parse_recipe(KINDS, ["--config", str(recipe_file(folder, text)), *flags])
    return str(caught.value)


def test_the_keys_of_trl_reach_their_objects_and_the_command_line_wins(tmp_path):
    path = recipe_file(tmp_path, "learning_rate: 1.0e-3\nlora_r: 4\nuse_peft: true\ndataset_name: rows.jsonl\n")
    recipe = parse_recipe(KINDS, ["--config", str(path), "--learning_rate", "1e-4", "--lora_alpha=7"])
    data, training, model = recipe.arguments
    assert (training.learning_rate, model.lora_r, model.lora_alpha, model.use_peft) == (1e-4, 4, 7, True)
    assert data.dataset_name == "rows.jsonl"
    assert recipe.keys["learning_rate"] == 1e-4


def test_an_unknown_key_names_the_closest_known_one(tmp_path):
    assert "unknown key `learnig_rate`; did you mean `learning_rate`?" in refusal(tmp_path, "learnig_rate: 1.0e-3\n")


@pytest.mark.parametrize(
    ("old", "new"), [("torch_dtype", "dtype"), ("max_seq_length", "max_length"), ("warmup_ratio", "warmup_steps"),
                     ("evaluation_strategy", "eval_strategy")]
)  # fmt: skip
def test_a_renamed_key_says_its_new_name(tmp_path, old, new):
    assert f"`{old}` is now {new}" in refusal(tmp_path, f"{old}: 1\n")


def test_all_problems_are_reported_at_once(tmp_path):
    text = refusal(tmp_path, "learnig_rate: 1\nmax_seq_length: 10\nlora_r: many\n", "--packing", "perhaps", "stray")
    assert "recipe.yaml: (1) " in text
    for part in ("4 problems in ", "learnig_rate", "max_seq_length", "`lora_r`", "--packing", "'stray'"):
        assert part in text


def test_values_that_do_not_go_together_are_one_line(tmp_path):
    text = refusal(tmp_path, "load_best_model_at_end: true\neval_strategy: epoch\nsave_strategy: steps\n")
    assert "TRL and transformers reject these values: " in text
    assert "\n" not in text


def test_a_machine_without_accelerator_trains_on_the_cpu_and_says_so(tmp_path, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    path = recipe_file(tmp_path, "bf16: true\n")
    assert parse_recipe(KINDS, ["--config", str(path)]).arguments[1].use_cpu is True
    assert "use_cpu" in capsys.readouterr().err


def leniently(folder: Path, text: str, *flags: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The values that the recipe ends up with, and the certain fix of each faulty key."""
    recipe, faults = parse_leniently(KINDS, ["--config", str(recipe_file(folder, text)), *flags])
    values = {key: value for part in recipe.arguments for key, value in vars(part).items()}
    assert all(values[key] is not None for key in recipe.keys)
    return values, {fault.key: dict(fault.fix) for fault in faults}


@pytest.mark.parametrize(("line", "fix"), [
    ("torch_dtype: bfloat16", {"dtype": "bfloat16"}), ("max_seq_length: 2048", {"max_length": 2048}),
    ("warmup_ratio: 0.1", {"warmup_steps": 0.1}), ("warmup_ratio: 1e-1", {"warmup_steps": 0.1}),
    ("evaluation_strategy: no", {"eval_strategy": "no"}), ("no_cuda: true", {"use_cpu": True}),
    ("per_gpu_train_batch_size: 4", {"per_device_train_batch_size": 4}),
    ("group_by_length: true", {"train_sampling_strategy": "group_by_length"}), ("group_by_length: false", {}),
    ("overwrite_output_dir: true", {}), ("save_safetensors: true", {}), ("use_flash_attention_2: false", {}),
    ("use_flash_attention_2: true", {"attn_implementation": "flash_attention_2"}),
])  # fmt: skip
def test_a_renamed_key_is_read_by_its_new_name_where_that_is_certain(line, fix, tmp_path):
    old = line.split(":")[0]
    with with_bfloat16():  # without it, weights that a recipe wants in bfloat16 are loaded in float32
        values, faults = leniently(tmp_path, f"{line}\nlora_r: 7\n")
    assert faults == {old: {old: None, **fix}}
    assert list(faults[old]) == [old, *fix]
    assert {key: values[key] for key in fix} == fix
    assert values["lora_r"] == 7


@pytest.mark.parametrize("lines", [
    "warmup_ratio: 1", "warmup_ratio: 2.5", "warmup_ratio: many", "max_seq_length: long", "chat_template: a",
    "dataset_mixture: {a: 1}", "tokenizer: gpt2", "max_seq_length: 5\nmax_length: 6", "group_by_length: perhaps",
    "save_safetensors: false", "torch_dtype: null",
])  # fmt: skip
def test_a_renamed_key_is_left_out_where_its_meaning_is_not_certain(lines, tmp_path):
    _, faults = leniently(tmp_path, lines + "\n")
    assert faults == {lines.split(":")[0]: {}}


def test_a_renamed_key_that_says_the_same_as_the_new_one_just_goes(tmp_path):
    values, faults = leniently(tmp_path, "max_seq_length: 64\nmax_length: 64\n")
    assert values["max_length"] == 64
    assert faults == {"max_seq_length": {"max_seq_length": None, "max_length": 64}}


def test_a_slip_of_the_pen_is_never_mended_by_itself(tmp_path):
    recipe, [fault] = parse_leniently(KINDS, ["--config", str(recipe_file(tmp_path, "learnig_rate: 1.0e-3\n"))])
    assert (fault.kind, fault.fix, fault.error.fix) == (FaultKind.UNKNOWN, {}, "did you mean `learning_rate`?")
    assert "learnig_rate" not in recipe.keys
    assert recipe.arguments[1].learning_rate == 2e-5


def test_a_lenient_parse_of_a_right_recipe_is_the_strict_one(tmp_path):
    words = ["--config", str(recipe_file(tmp_path, "learning_rate: 1e-4\neval_strategy: no\n")), "--lora_r", "5"]
    strict, (lenient, faults) = parse_recipe(KINDS, words), parse_leniently(KINDS, words)
    assert faults == []
    assert lenient.keys == strict.keys
    assert lenient.arguments[1].to_dict() == strict.arguments[1].to_dict()
    assert (lenient.arguments[0], lenient.arguments[2]) == (strict.arguments[0], strict.arguments[2])


def test_what_is_no_matter_of_names_is_refused_by_the_lenient_parser_too(tmp_path):
    path = recipe_file(tmp_path, "lora_r: many\nlearnig_rate: 1\n")
    with pytest.raises(UserError, match=r"2 problems in .*recipe\.yaml: ") as caught:
        parse_leniently(KINDS, ["--config", str(path), "stray"])
    assert "lora_r" in str(caught.value)
    assert "learnig_rate" not in str(caught.value)


def test_a_renamed_key_of_the_command_line_is_read_alike(tmp_path):
    values, faults = leniently(tmp_path, "lora_r: 3\n", "--max_seq_length", "99")
    assert (values["max_length"], list(faults)) == (99, ["max_seq_length"])


def test_variables_of_the_environment_are_no_unknown_key(tmp_path, monkeypatch):
    monkeypatch.delenv("A_RECIPES_VARIABLE", raising=False)
    _, faults = leniently(tmp_path, "env: {A_RECIPES_VARIABLE: 3}\n")
    assert faults == {}


def test_the_written_keys_are_those_of_file_and_command_line(tmp_path):
    path = recipe_file(tmp_path, "learnig_rate: 1\nlora_r: many\n")
    keys = written_keys(["--config", str(path), "--lora_r", "4"])
    assert keys == {"output_dir": str(tmp_path / "run"), "report_to": "none", "learnig_rate": 1, "lora_r": 4}


def test_the_tables_of_renamed_keys_agree():
    for key in RENAMED_KEYS:
        new = successor_of(key)
        replacements = [certain_replacement(key, value) for value in (0.5, True)]
        assert new is None or {new} in [set(one or ()) for one in replacements]
        assert new is not None or not any(replacements)
        assert new is None or RENAMED_KEYS[key].startswith(new)
