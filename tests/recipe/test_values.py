"""Each value is read as its key's type, and refused where no run can have it."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.recipe import ARGUMENTS, Stage
from pipelines.recipe.accepted_keys import accepted_keys
from pipelines.recipe.raw_values import read_raw_values
from pipelines.recipe.values import choices_of, typed

ACCEPTED = accepted_keys(ARGUMENTS[Stage.SFT])


def from_yaml(folder: Path, line: str, stage: Stage = Stage.SFT) -> Any:
    """The value of the one key in `line`."""
    (folder / "recipe.yaml").write_text(line + "\n")
    [(key, written)] = read_raw_values(["--config", str(folder / "recipe.yaml")])[1].items()
    return typed(accepted_keys(ARGUMENTS[stage])[key], written)


def from_words(*words: str, stage: Stage = Stage.SFT) -> Any:
    """The value of the one flag in `words`."""
    [(key, written)] = read_raw_values(words)[1].items()
    return typed(accepted_keys(ARGUMENTS[stage])[key], written)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("learning_rate: 1e-4", 1e-4),
        ("max_steps: 1_000", 1000),
        ("max_steps: 1e3", 1000),
        ("seed: 012", 12),  # an octal number of YAML 1.1, ten
        ("eval_strategy: no", "no"),
        ("eval_strategy: Epoch", "epoch"),
        ("doctor: off", "off"),
        ("packing: yes", True),
        ("packing: 'yes'", True),
        ("model_revision: 1.0", "1.0"),  # a number for YAML
        ("model_revision: 1e10", "1e10"),
        ("dataset_config: 2024-01-01", "2024-01-01"),
        ("run_name: true", "true"),
        ("lora_target_modules: q_proj,v_proj", ["q_proj", "v_proj"]),
        ("lora_target_modules: [q_proj, no]", ["q_proj", "no"]),
        ("lora_target_modules: q_proj, v_proj", ["q_proj", "v_proj"]),
        ("report_to: trackio, wandb", ["trackio", "wandb"]),
        ("max_length: none", None),
        ("report_to: none", "none"),
        ("lora_target_modules: all-linear", ["all-linear"]),
        (r"lora_target_modules: '.*\.(q|v)_proj'", [r".*\.(q|v)_proj"]),
        ("sample_prompts: a,b", ["a,b"]),
        ("lr_scheduler_kwargs: {min_lr: 1e-5}", {"min_lr": 1e-5}),
        ("eos_token:", None),
        ("pad_to_multiple_of: 8", 8),
        ("include_num_input_tokens_seen: true", True),
        ("report_to: [trackio, tensorboard]", ["trackio", "tensorboard"]),
        ("attn_implementation: kernels-community/flash-attn", "kernels-community/flash-attn"),
    ],
)
def test_a_value_is_of_the_type_of_its_key(line, value, tmp_path):
    read = from_yaml(tmp_path, line)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(("words", "value"), [
    (["--dataset_name", "a: b"], "a: b"), (["--sample_prompts", "Write: x"], ["Write: x"]),
    (["--sample_prompts", "- x"], ["- x"]), (["--sample_prompts", "# x"], ["# x"]),
    (["--sample_prompts", "Write: x", "Hello, you"], ["Write: x", "Hello, you"]),
    (["--lora_target_modules", "q_proj", "v_proj"], ["q_proj", "v_proj"]),
    (["--lora_target_modules=[q_proj, v_proj]"], ["q_proj", "v_proj"]),
    (["--lr_scheduler_kwargs", '{"num_cycles": 2}'], {"num_cycles": 2}), (["--packing"], True),
    (["--packing", "no"], False), (["--run_name", "007"], "007"), (["--eos_token", "None"], None),
    (["--max-steps=-1"], -1),
])  # fmt: skip
def test_a_word_of_the_command_line_is_of_the_type_of_its_key(words, value):
    read = from_words(*words)
    assert (read, type(read)) == (value, type(value))


def test_several_losses_with_their_weights():
    assert from_words("--loss_type", "sigmoid", "sft", stage=Stage.DPO) == ["sigmoid", "sft"]
    assert from_words("--loss_weights", "0.8,0.2", stage=Stage.DPO) == [0.8, 0.2]
    with pytest.raises(UserError, match="did you mean sigmoid"):
        from_words("--loss_type", "sigmoyd", stage=Stage.DPO)


@pytest.mark.parametrize(("key", "wrong", "close"), [
    ("train_sampling_strategy", "group_by_lenght", "group_by_length"), ("lr_scheduler_type", "cosin", "cosine"),
    ("optim", "adamw_troch", "adamw_torch"), ("eval_strategy", "step", "steps"), ("save_strategy", "epochs", "epoch"),
    ("logging_strategy", "epochs", "epoch"), ("hub_strategy", "all_checkpoint", "all_checkpoints"),
    ("packing_strategy", "bdf", "bfd"), ("truncation_mode", "keep_stat", "keep_start"), ("loss_type", "nl", "nll"),
    ("bnb_4bit_quant_type", "nf-4", "nf4"), ("bnb_4bit_quant_storage", "unit8", "uint8"),
    ("dtype", "bflaot16", "bfloat16"), ("attn_implementation", "flash_attention2", "flash_attention_2"),
    ("report_to", "wanbd", "wandb"), ("report_to", "no", "none"), ("log_level_replica", "warn", "warning"),
    ("include_num_input_tokens_seen", "nonpadding", "non_padding"), ("include_for_metrics", "input", "inputs"),
    ("ddp_backend", "glo", "gloo"), ("dataloader_multiprocessing_context", "forkserve", "forkserver"),
    ("debug", "underflow", "underflow_overflow"), ("torch_compile_mode", "reduce_overhead", "reduce-overhead"),
    ("long_rows", "trunc_prompt", "truncate_prompt"), ("train_on", "all_turn", "all_turns"),
    ("doctor", "warning", "warn"),
])  # fmt: skip
def test_a_misspelt_choice_is_refused_with_the_choices(key, wrong, close):
    with pytest.raises(UserError) as caught:
        from_words(f"--{key}", wrong)
    choices = ", ".join(choices_of(ACCEPTED[key]))
    assert str(caught.value) == f"`{key}` is {wrong!r}, expected one of {choices}; did you mean {close}?"


def test_the_choices_are_those_that_the_libraries_accept():
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
    from transformers.trainer_utils import HubStrategy, SaveStrategy, SchedulerType
    from transformers.training_args import OptimizerNames

    enums = {"lr_scheduler_type": SchedulerType, "optim": OptimizerNames, "save_strategy": SaveStrategy}
    for key, enum in {**enums, "hub_strategy": HubStrategy}.items():
        assert set(choices_of(ACCEPTED[key])) == {one.value for one in enum}
    assert set(choices_of(ACCEPTED["report_to"])) == {*INTEGRATION_TO_CALLBACK, "all", "none"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--learning_rate", "nan"], "a finite number"),
        (["--learning_rate", ".inf"], "a finite number"),
        (["--learning_rate=-1e-4"], "a number of 0 or more"),
        (["--learning_rate", "1,5"], "a number"),
        (["--learning_rate"], "one"),
        (["--num_train_epochs=-1"], "a number above 0"),
        (["--max_steps", "0"], "a number of steps above 0, or -1 for num_train_epochs"),
        (["--max_steps", "1.5"], "a whole number"),
        (["--per_device_eval_batch_size", "0"], "a number above 0"),
        (["--warmup_steps=-0.1"], "a whole number of steps, or a share of the run below 1"),
        (["--warmup_steps", "1.5"], "a whole number of steps, or a share of the run below 1"),
        (["--eval_steps", "0"], "a whole number of steps, or a share of the run below 1"),
        (["--seed=-1"], "a whole number from 0 to 4294967295"),
        (["--data_seed", "4294967296"], "a whole number from 0 to 4294967295"),
        (["--seed", "true"], "a whole number"),
        (["--lora_r", "0"], "a number above 0"),
        (["--gradient_accumulation_steps", "0"], "a number above 0"),
        (["--max_length=-1"], "a number above 0"),
        (["--lora_dropout", "1"], "a number of at least 0 and below 1"),
        (["--adam_beta2", "1.0"], "a number of at least 0 and below 1"),
        (["--packing", "maybe"], "true or false"),
        (["--output_dir", ""], "text"),  # a shell's variable that is not set
        (["--run_name", "a\0b"], "text"),
        (["--run_name", "a", "b"], "one"),
        (["--lr_scheduler_kwargs", "cycles"], "a mapping"),
        (["--max_answer_cut_share", "1.5"], "a number from 0 to 1"),
    ],
)
def test_a_value_that_no_run_can_have_is_refused(words, expected):
    with pytest.raises(UserError) as caught:
        from_words(*words)
    assert caught.value.problem.endswith(f"expected {expected}")


@pytest.mark.parametrize(("line", "expected"), [
    ("learning_rate:", "a number"), ("run_name: [a]", "text"), ("model_name_or_path: {a: b}", "text"),
    ("lora_target_modules: [[q_proj]]", "a list of words"), ("lora_target_modules: [1]", "a list of words"),
    ("lora_modules_to_save: {a: 5}", "a list of words"),
    ("datasets: rows.jsonl", "a list of mappings, each with a path"), ("lora_r: [8]", "a whole number"),
])  # fmt: skip
def test_a_value_of_another_form_is_refused(line, expected, tmp_path):
    with pytest.raises(UserError) as caught:
        from_yaml(tmp_path, line)
    assert caught.value.problem.endswith(f"expected {expected}")
