"""Keys that the libraries accept and a program here does not read: refused, or named where nothing is lost.

`tests/recipe/test_obeyed_keys.py` holds every key of every program: a key that is new in a library fails it by name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipelines.errors import UserError
from pipelines.recipe.parsing import Check
from pipelines.recipe.places import missing_places
from pipelines.recipe.precision import say
from pipelines.recipe.stages import Stage

Keys = Mapping[str, Any]


@dataclass(frozen=True)
class NotRead:
    """A key that the programs of `stages` do not read. `harmless` are the values that ask for what is done anyway."""

    key: str
    harmless: tuple[Any, ...]
    remedy: str
    stages: tuple[Stage, ...] = tuple(Stage)


NOT_READ = (
    NotRead("dataset_kwargs", (None, {}), "remove it: this program tokenizes the rows itself", (Stage.SFT,)),
    NotRead("truncation_mode", ("keep_start",), "use long_rows, which says what becomes of a long row"),
    NotRead("padding_free", (False,), "remove it: TRL's DPOTrainer pads all the same", (Stage.DPO,)),
    NotRead("ignore_bias_buffers", (False,), "remove it: no model of today needs it"),
    NotRead("do_train", (True,), "remove it: this program trains, and doctor.py only examines"),
    NotRead("do_predict", (False,), "remove it, and answer the test split with compare.py"),
    NotRead("include_for_metrics", ([],), "remove it: compare.py and perplexity.py compute metrics"),
    NotRead("batch_eval_metrics", (False,), "remove it: compare.py and perplexity.py compute metrics"),
    NotRead("length_column_name", ("length",), "remove it: lengths are counted from the tokens"),
    NotRead("lora_task_type", ("CAUSAL_LM",), "remove it: this program trains causal language models"),
)


@dataclass(frozen=True)
class NeedsAnother:
    """Keys that are read only where another key says so."""

    keys: tuple[str, ...]
    applies: Callable[[Keys], bool]
    need: str


def _says(key: str, value: Any, default: Any = None) -> Callable[[Keys], bool]:
    return lambda keys: keys.get(key, default) == value


LORA_KEYS = (
    "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_parameters", "lora_modules_to_save",
    "use_rslora", "use_dora",
)  # fmt: skip
_OF_ONE_DATASET = ("dataset_name", "dataset_config", "dataset_train_split", "dataset_revision")
_BNB_KEYS = ("bnb_4bit_quant_type", "bnb_4bit_quant_storage", "use_bnb_nested_quant")
_HUB_KEYS = ("hub_model_id", "hub_strategy", "hub_revision", "hub_private_repo", "hub_always_push")
NEEDS_ANOTHER = (
    NeedsAnother(("eval_steps",), _says("eval_strategy", "steps"), "eval_strategy: steps"),
    NeedsAnother(("save_steps",), _says("save_strategy", "steps", "steps"), "save_strategy: steps"),
    NeedsAnother(("logging_steps",), _says("logging_strategy", "steps", "steps"), "logging_strategy: steps"),
    NeedsAnother(("num_train_epochs",), _says("max_steps", -1, -1), "no max_steps"),
    NeedsAnother(("packing_strategy",), _says("packing", True), "packing: true"),
    NeedsAnother(_BNB_KEYS, _says("load_in_4bit", True), "load_in_4bit: true"),
    NeedsAnother(_HUB_KEYS, _says("push_to_hub", True), "push_to_hub: true"),
    NeedsAnother(("f_alpha_divergence_coef",), _says("f_divergence_type", "alpha_divergence"), "f_divergence_type"),
    NeedsAnother(("discopop_tau",), lambda keys: "discopop" in (keys.get("loss_type") or ()), "loss_type: discopop"),
    NeedsAnother(
        ("ref_model_mixup_alpha", "ref_model_sync_steps"), _says("sync_ref_model", True), "sync_ref_model: true"
    ),
    NeedsAnother(("precompute_ref_batch_size",), _says("precompute_ref_log_probs", True), "precompute_ref_log_probs"),
    NeedsAnother(("liger_kernel_config",), _says("use_liger_kernel", True), "use_liger_kernel: true"),
    NeedsAnother(("fsdp_config",), lambda keys: bool(keys.get("fsdp")), "fsdp"),
)
_NOTHING_ASKED: tuple[Any, ...] = (None, False, "", [])


def checks_of(stage: Stage) -> Sequence[Check]:
    """What `parse_recipe` asks before a run of `stage`: paths that do not exist, keys that are not obeyed."""
    return [missing_places, partial(unobeyed_keys, stage)]


def unobeyed_keys(stage: Stage, keys: Keys) -> Iterator[UserError]:
    """One error for each of a recipe's `keys` that asks for what the program of `stage` does not do. Keys that have no
    effect in this recipe are named on stderr."""
    for one in NOT_READ:
        if one.key in keys and stage in one.stages and keys[one.key] not in one.harmless:
            message = f"`{one.key}: {keys[one.key]}` is not read by {stage.value}.py; {one.remedy}"
            yield UserError(
                expected=f"no `{one.key}`", got=str(keys[one.key]), remedy=f"`{one.key}`: {one.remedy}", message=message
            )
    shaping = [key for key in LORA_KEYS if keys.get(key) not in _NOTHING_ASKED]
    if shaping and "use_peft" not in keys and not keys.get("adapter_name_or_path"):
        yield UserError(
            expected=f"use_peft: true beside {', '.join(shaping)}",
            got="none, which would train all weights and no adapter",
            remedy="set use_peft: true, or remove the LoRA keys",
        )
    doubled = [key for key in _OF_ONE_DATASET if keys.get(key) and keys.get("datasets")]
    if doubled:
        yield UserError(
            expected="datasets or dataset_name, not both",
            got=f"datasets and {', '.join(doubled)}, which would be ignored",
            remedy="write them into the entries of datasets",
        )
    idle = [
        f"`{key}` (needs {one.need})"
        for one in NEEDS_ANOTHER
        for key in one.keys
        if keys.get(key) not in _NOTHING_ASKED and not one.applies(keys)
    ]
    if stage is Stage.DPO and keys.get("dataset_num_proc"):
        idle.append("`dataset_num_proc` (dpo.py tokenizes in one process)")
    if idle:
        say(f"ignored in this recipe: {', '.join(idle)}")
