"""Recipes are strict: what is not understood is refused, all at once, before any weight is loaded."""

from pathlib import Path

import pytest
from trl import ModelConfig, SFTConfig

from pipelines.errors import UserError
from pipelines.recipe import DataArguments, parse_recipe

KINDS = [DataArguments, SFTConfig, ModelConfig]


def recipe_file(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(f"output_dir: {folder / 'run'}\nreport_to: none\n{text}")
    return path


def refusal(folder: Path, text: str, *flags: str) -> str:
    with pytest.raises(UserError) as caught:
        parse_recipe(KINDS, ["--config", str(recipe_file(folder, text)), *flags])
    return str(caught.value)


def test_the_keys_of_trl_reach_their_objects_and_the_command_line_wins(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "learning_rate: 1.0e-3\nlora_r: 4\nuse_peft: true\ndataset_name: rows.jsonl\n")
    recipe = parse_recipe(KINDS, ["--config", str(path), "--learning_rate", "1e-4", "--lora_alpha=7"])
    data, training, model = recipe.arguments
    assert (training.learning_rate, model.lora_r, model.lora_alpha, model.use_peft) == (1e-4, 4, 7, True)
    assert data.dataset_name == "rows.jsonl"
    assert recipe.keys["learning_rate"] == 1e-4


def test_an_unknown_key_names_the_closest_known_one(tmp_path: Path) -> None:
    assert "`learnig_rate`; did you mean `learning_rate`?" in refusal(tmp_path, "learnig_rate: 1.0e-3\n")


def test_an_unknown_key_of_the_command_line_is_refused_alike(tmp_path: Path) -> None:
    assert "did you mean `lora_alpha`?" in refusal(tmp_path, "", "--lora_alpah", "3")


@pytest.mark.parametrize(
    ("old", "new"), [("torch_dtype", "dtype"), ("max_seq_length", "max_length"), ("warmup_ratio", "warmup_steps"),
                     ("evaluation_strategy", "eval_strategy")]
)  # fmt: skip
def test_a_renamed_key_says_its_new_name(tmp_path: Path, old: str, new: str) -> None:
    assert f"`{old}` is now {new}" in refusal(tmp_path, f"{old}: 1\n")


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = refusal(tmp_path, "learnig_rate: 1\nmax_seq_length: 10\nlora_r: many\n", "--packing", "perhaps", "stray")
    for part in ("found 5", "learnig_rate", "max_seq_length", "`lora_r`", "`packing`", "'stray'"):
        assert part in text


def test_a_number_that_yaml_reads_as_text_is_a_number(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "learning_rate: 1e-4\n")
    assert parse_recipe(KINDS, ["--config", str(path)]).arguments[1].learning_rate == 1e-4


def test_no_is_a_strategy_and_not_a_boolean(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "eval_strategy: no\n")
    assert parse_recipe(KINDS, ["--config", str(path), "--save_strategy", "no"]).arguments[1].save_strategy == "no"


def test_values_that_do_not_go_together_are_one_line(tmp_path: Path) -> None:
    text = refusal(tmp_path, "load_best_model_at_end: true\neval_strategy: epoch\nsave_strategy: steps\n")
    assert "accept together" in text
    assert "\n" not in text


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    assert "on line 5" in refusal(tmp_path, "learning_rate: 1.0e-3\nlora_r: [\n")


def test_a_list_instead_of_keys_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(UserError, match="got a list"):
        parse_recipe(KINDS, ["--config", str(path)])


def test_a_missing_recipe_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        parse_recipe(KINDS, ["--config", str(tmp_path / "absent.yaml")])


def test_a_machine_without_accelerator_trains_on_the_cpu_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    path = recipe_file(tmp_path, "bf16: true\n")
    assert parse_recipe(KINDS, ["--config", str(path)]).arguments[1].use_cpu is True
    assert "use_cpu" in capsys.readouterr().err
