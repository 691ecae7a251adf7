"""What a trainer refuses is one line before rows are read, with a remedy that works."""

from pathlib import Path

import pytest
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM, TrainingArguments
from trl import DPOConfig, ModelConfig, SFTConfig

from pipelines.errors import UserError
from pipelines.recipe import Recipe, parse_recipe
from pipelines.recipe.arguments import InstructionArguments, PreferenceArguments, PretrainingArguments
from pipelines.training.dry_run import refuse_impossible_training

KINDS = {
    "sft": [InstructionArguments, SFTConfig, ModelConfig],
    "dpo": [PreferenceArguments, DPOConfig, ModelConfig],
    "pretrain": [PretrainingArguments, TrainingArguments, ModelConfig],
}


def recipe_of(program: str, base: Path, flags: str, *more: str) -> Recipe:
    """A recipe without rows: none are read."""
    common = f"--model_name_or_path {base} --dataset_name absent --output_dir absent --bf16 false"
    if "report_to" not in flags:
        common += " --report_to none"
    return parse_recipe(KINDS[program], [*f"{common} {flags}".split(), *more])


def refusal(program: str, base: Path, flags: str) -> UserError:
    with pytest.raises(UserError) as caught:
        refuse_impossible_training(recipe_of(program, base, flags))
    assert not Path("absent").exists()
    return caught.value


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        ("sft", "--use_peft --eval_strategy steps --load_best_model_at_end --metric_for_best_model p_end"),
        ("sft", "--packing --eval_strategy epoch --metric_for_best_model eval_mean_token_accuracy"),
        ("dpo", "--use_peft --eval_strategy steps"),
        ("dpo", "--precompute_ref_log_probs"),
        ("pretrain", "--eval_strategy epoch --lr_scheduler_type cosine"),
        ("sft", '--lr_scheduler_type cosine_with_min_lr --lr_scheduler_kwargs {"min_lr_rate":0.1}'),
    ],
)
def test_a_recipe_that_works_passes(tiny_model_folder, program, flags):
    refuse_impossible_training(recipe_of(program, tiny_model_folder, flags))


@pytest.mark.parametrize(
    ("program", "flags", "got", "key"),
    [
        ("sft", "--report_to wandb", "pip install wandb", "report_to"),
        ("dpo", "--report_to mlflow", "pip install mlflow", "report_to"),
        ("pretrain", "--report_to comet_ml", "pip install comet", "report_to"),
        ("sft", "--use_liger_kernel", "pip install liger-kernel", "use_liger_kernel"),
        ("sft", "--optim galore_adamw --optim_target_modules attn", "galore_torch", "optim"),
        ("sft", "--optim lomo", "lomo_optim", "optim"),
        ("pretrain", "--optim schedule_free_adamw", "schedulefree", "optim"),
        ("sft", "--eval_strategy steps --metric_for_best_model eval_rouge", "'eval_p_end'", "metric_for_best_model"),
        ("dpo", "--use_peft --sync_ref_model", "Use `sync_ref_model=False`", "sync_ref_model"),
        ("sft", "--torch_compile_backend nope", "Invalid backend: 'nope'", "torch_compile_backend"),
    ],
)
def test_errors_name_key_and_cause(tiny_model_folder, program, flags, got, key):
    error = refusal(program, tiny_model_folder, flags)
    assert got in error.problem
    assert f"({key}: " in error.problem
    assert error.fix == f"change or remove {key}"


@pytest.mark.parametrize("kind", ["warmup_stable_decay", "cosine_with_min_lr", "cosine_warmup_with_min_lr"])
def test_the_remedy_for_a_schedule_without_its_arguments_works(tiny_model_folder, kind):
    error = refusal("sft", tiny_model_folder, f"--lr_scheduler_type {kind}")
    key, _, value = str(error.fix).removeprefix(f"for {kind} write ").partition(": ")
    refuse_impossible_training(recipe_of("sft", tiny_model_folder, f"--lr_scheduler_type {kind}", f"--{key}", value))


@pytest.fixture(scope="module")
def mixture_of_experts(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "experts"
    config = Qwen3MoeConfig(
        vocab_size=264, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32,
    )  # fmt: skip
    Qwen3MoeForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((tiny_model_folder / name).read_bytes())
    return folder


@pytest.mark.parametrize("program", ["sft", "dpo", "pretrain"])
def test_lora_dropout_on_experts_is_one_line_with_a_remedy_that_works(mixture_of_experts, program):
    flags = "--use_peft --lora_target_modules all-linear"
    error = refusal(program, mixture_of_experts, flags)
    assert "lora_dropout: 0.05" in error.problem
    assert error.fix == "set lora_dropout: 0.0"
    refuse_impossible_training(recipe_of(program, mixture_of_experts, f"{flags} --lora_dropout 0.0"))


def test_attention_that_is_not_installed_is_one_line(tiny_model_folder):
    error = refusal("sft", tiny_model_folder, "--attn_implementation flash_attention_2")
    assert "attn_implementation" in str(error.fix)
