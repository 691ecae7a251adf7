"""Every key of every program is obeyed, refused or named; keys of other trainers lead to the right ones."""

import pytest

from pipelines.recipe import ARGUMENTS, Stage
from pipelines.recipe.accepted_keys import accepted_keys
from pipelines.recipe.checks import DEPENDENT, UNSUPPORTED, missing_paths, unsupported_keys
from pipelines.recipe.parsing import FaultKind, _read
from pipelines.recipe.renamed_keys import _BY_VALUE, _SAME_VALUE, same_meaning

# Keys that these programs or the library's own trainer read. A key that is new in a library has to be looked at and
# put here, or into the tables of `checks`.
_OBEYED = """
    accelerator_config activation_checkpointing activation_checkpointing_kwargs activation_offloading adam_beta1
    adam_beta2 adam_epsilon adapter_name_or_path assistant_only_loss attn_implementation auto_find_batch_size
    average_tokens_across_devices beta bf16 bf16_full_eval chat_template_path completion_only_loss data_seed
    dataloader_drop_last dataloader_in_order dataloader_multiprocessing_context dataloader_num_workers
    dataloader_persistent_workers dataloader_pin_memory dataloader_prefetch_factor dataset_config dataset_name
    dataset_num_proc dataset_revision dataset_streaming dataset_test_split dataset_text_field dataset_train_split
    datasets ddp_backend ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters ddp_static_graph
    ddp_timeout debug deepspeed disable_dropout disable_tqdm do_eval doctor dtype enable_jit_checkpoint eos_token
    eval_accumulation_steps eval_delay eval_do_concat_batches eval_on_start eval_packing eval_strategy
    eval_use_gather_object f_divergence_type fp16 fp16_full_eval fsdp full_determinism general_text
    gradient_accumulation_steps gradient_checkpointing gradient_checkpointing_kwargs greater_is_better
    hub_base_model hub_token ignore_data_skip include_num_input_tokens_seen label_names label_smoothing
    label_smoothing_factor ld_alpha learning_rate load_best_model_at_end load_in_4bit load_in_8bit local_rank
    log_level log_level_replica log_on_each_node logging_first_step logging_nan_inf_filter logging_strategy
    long_rows lora_alpha lora_dropout lora_modules_to_save lora_r lora_target_modules lora_target_parameters
    loss_type loss_weights lr_scheduler_kwargs lr_scheduler_type max_answer_cut_share max_dropped_share
    max_grad_norm max_hours max_length max_steps metric_for_best_model model_config model_init_kwargs model_name_or_path
    model_revision model_type muon_learning_rate n_samples n_validation_documents neftune_noise_alpha optim
    optim_args optim_target_modules output_dir packing pad_to_multiple_of pad_token parallelism_config
    per_device_eval_batch_size per_device_train_batch_size precompute_ref_log_probs prediction_loss_only project
    push_to_hub remove_unused_columns report_to respect_documents restore_callback_states_from_checkpoint resume
    resume_from_checkpoint router_aux_loss_coef run_name sample_max_new_tokens sample_prompts save_dtype
    save_on_each_node save_only_model save_strategy save_total_limit seed shuffle_dataset skip_memory_metrics
    streaming sync_ref_model test_split_size text_column text_validation_share tf32 tokenizer_name_or_path
    torch_compile torch_compile_backend torch_compile_mode torch_empty_cache_steps trackio_bucket_id
    trackio_space_id trackio_static_space_id train_on train_sampling_strategy trust_remote_code use_cache use_cpu
    use_dora use_liger_kernel use_peft use_rslora use_weighting warmup_steps weight_decay
"""
OBEYED = set(_OBEYED.split())


@pytest.mark.parametrize("stage", list(Stage))
def test_every_key_of_a_program_is_looked_at(stage):
    named = {one.key for one in UNSUPPORTED} | {key for one in DEPENDENT for key in one.keys}
    of_libraries = accepted_keys([*ARGUMENTS[stage][1:], "trl.ScriptArguments"])
    assert set(of_libraries) - OBEYED - named == set()
    assert named & OBEYED == set()


def test_the_tables_name_keys_that_exist():
    keys = {key for stage in Stage for key in accepted_keys(ARGUMENTS[stage])}
    named = {one.key for one in UNSUPPORTED} | {key for one in DEPENDENT for key in one.keys} | OBEYED
    assert named - keys == set()
    assert set(_SAME_VALUE.values()) - keys == set()
    values = [one for known in _BY_VALUE.values() for one in known.values()]
    assert {new for one in values for new in one} - keys == set()


@pytest.mark.parametrize(("keys", "problem"), [
    (
        {"dataset_kwargs": {"skip_prepare_dataset": True}},
        "`dataset_kwargs: {'skip_prepare_dataset': True}` is not supported by sft.py",
    ),
    ({"truncation_mode": "keep_end"}, "use long_rows"),
    ({"do_train": False}, "`do_train: False` is not supported by sft.py"),
    ({"lora_task_type": "SEQ_CLS"}, "this program trains causal language models"),
    ({"lora_r": 8}, "lora_r without use_peft"),
    ({"datasets": [{"path": "a"}], "dataset_name": "b"}, "expected datasets or dataset_name"),
])  # fmt: skip
def test_a_key_that_is_not_obeyed_is_refused(keys, problem):
    [error] = unsupported_keys(Stage.SFT, keys)
    assert problem in str(error)


@pytest.mark.parametrize("keys", [
    {"truncation_mode": "keep_start", "do_train": True, "lora_task_type": "CAUSAL_LM", "do_predict": False},
    {"lora_r": 8, "use_peft": False}, {"lora_r": 8, "use_peft": True, "eval_strategy": "steps", "eval_steps": 5},
    {"padding_free": True},
])  # fmt: skip
def test_what_is_done_anyway_is_not_refused(keys, capsys):
    assert list(unsupported_keys(Stage.SFT, keys)) == []
    assert capsys.readouterr().err == ""


def test_padding_free_is_not_obeyed_by_dpo():
    [error] = unsupported_keys(Stage.DPO, {"padding_free": True})
    assert "dpo.py" in str(error)


def test_keys_without_effect_are_named(capsys):
    keys = {"eval_steps": 5, "num_train_epochs": 2, "max_steps": 9, "hub_model_id": "me/it", "dataset_num_proc": 4}
    assert list(unsupported_keys(Stage.DPO, keys)) == []
    (line,) = capsys.readouterr().err.splitlines()
    for part in ("`eval_steps` (needs eval_strategy: steps)", "`num_train_epochs` (needs no max_steps)",
                 "`hub_model_id` (needs push_to_hub: true)", "`dataset_num_proc`"):  # fmt: skip
        assert part in line


AXOLOTL = """
base_model: org/base
tokenizer_type: AutoTokenizer
sequence_len: 2048
sample_packing: true
adapter: qlora
lora_target_linear: true
micro_batch_size: 2
num_epochs: 3
optimizer: adamw_torch
lr_scheduler: cosine
val_set_size: 0.05
train_on_inputs: false
"""
LLAMA_FACTORY = """
quantization_bit: 4
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: org/rows
cutoff_len: 2048
overwrite_cache: true
val_size: 0.1
flash_attn: fa2
mask_history: true
"""


@pytest.mark.parametrize(("text", "keys"), [
    (
        AXOLOTL,
        {"model_name_or_path": "org/base", "max_length": 2048, "packing": True, "use_peft": True,
         "load_in_4bit": True, "lora_target_modules": ["all-linear"], "per_device_train_batch_size": 2,
         "num_train_epochs": 3, "optim": "adamw_torch", "lr_scheduler_type": "cosine", "test_split_size": 0.05},
    ),
    (
        LLAMA_FACTORY,
        {"load_in_4bit": True, "use_peft": True, "lora_r": 8, "lora_target_modules": ["all-linear"],
         "dataset_name": "org/rows", "max_length": 2048, "test_split_size": 0.1,
         "attn_implementation": "flash_attention_2", "train_on": "last_turn"},
    ),
], ids=["axolotl", "LLaMA-Factory"])  # fmt: skip
def test_the_keys_of_another_trainer_are_translated(text, keys, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    reading = _read(ARGUMENTS[Stage.SFT], ["--config", str(path)])
    assert reading.keys == keys
    assert {fault.kind for fault in reading.faults} == {FaultKind.RENAMED}
    assert len(reading.faults) == len(text.split("\n")) - 2


@pytest.mark.parametrize(("line", "remedy"), [
    ("lora_rank: 8", "write `lora_r`"), ("sample_packing: true", "write `packing`"),
    ("base_model: a", "write `model_name_or_path`"), ("num_epochs: 3", "write `num_train_epochs`"),
    ("adapter: lora", "write `use_peft: true`"), ("finetuning_type: freeze", "its known values are lora, full"),
    ("stage: sft", "the program itself"), ("wandb_project:", "remove it, it is empty"),
    ("device_map: auto", "`accelerate launch` places the model"),
])  # fmt: skip
def test_a_key_of_another_trainer_says_what_to_write(line, remedy, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(line)
    [fault] = _read(ARGUMENTS[Stage.SFT], ["--config", str(path)]).faults
    assert remedy in str(fault.error)


def test_a_value_that_is_not_certain_is_not_translated():
    assert same_meaning("finetuning_type", "freeze") is None
    assert same_meaning("lora_target", "q_proj,v_proj") == {"lora_target_modules": "q_proj,v_proj"}
    assert same_meaning("val_set_size", 0) == {}


@pytest.mark.parametrize(("line", "remedy"), [
    ("bf16: auto", "the precision follows from the machine"), ("gradient_checkpointing: unsloth", "write true"),
    ("no_packing: true", "write `packing: false`"), ("beta: 0.1", "it is a key of dpo.py"),
    ("training_arguments: {learning_rate: 1}", "move its keys to the top level"),
    ("datasets: [{path: a, type: alpaca}]", "remove or rename type"), ("datasets: [{name: a}]", "name its path"),
    ("datasets: [{path: a, fraction: much}]", "expected a number"),
])  # fmt: skip
def test_a_value_or_a_form_of_another_trainer_is_explained(line, remedy, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(line)
    [fault] = _read(ARGUMENTS[Stage.SFT], ["--config", str(path)]).faults
    assert remedy in str(fault.error)


def test_the_paths_of_a_recipe_exist_or_are_of_the_hub(tmp_path, monkeypatch):
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "run.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    here = {"model_name_or_path": "org/base@main", "dataset_name": "rows", "tokenizer_name_or_path": "runs/one"}
    assert list(missing_paths({**here, "datasets": [{"path": "hf://buckets/x/y.jsonl"}, {"path": "data/*.csv"}]})) == []
    for place in ("./base", "/base", "a/b/c", "rows.jsonl", "base.gguf", "runs/two", "~x/y", "org/", "a\\b"):
        [error] = missing_paths({"model_name_or_path": place})
        assert error.problem == f"`model_name_or_path` is {place}, which does not exist"
    for place in ("$OUT/base", "${OUT}"):
        [error] = missing_paths({"output_dir": place})
        assert "variables are not expanded" in error.problem
    [error] = missing_paths({"datasets": [{"path": "none.csv"}]})
    assert error.problem == "`datasets` is none.csv, which does not exist"
