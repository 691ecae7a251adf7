"""Checks of a recipe before torch is imported: paths that do not exist, and keys that a program does not read.

`tests/recipe/test_checks.py` lists every key of every program: a key that is new in a library fails it by name.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.recipe.keep_best import best_is_kept
from pipelines.recipe.precision import say
from pipelines.recipe.stages import Stage
from pipelines.records.checkpoint import refuse_torn_checkpoint

Keys = Mapping[str, Any]
Check = Callable[[Keys], Iterator[UserError]]

_MODELS = ("model_name_or_path", "adapter_name_or_path")
_FILES = ("general_text", "deepspeed", "fsdp_config", "accelerator_config")
_FROM_THE_HUB = (*_MODELS, "tokenizer_name_or_path", "dataset_name")
PATH_KEYS = (*_FROM_THE_HUB, *_FILES, "chat_template_path", "output_dir", "resume_from_checkpoint")
_FILE_ENDING = re.compile(r"\.(jsonl?|csv|tsv|parquet|arrow|txt|md|jinja2?|ya?ml|gz|zst|gguf|safetensors|bin)$")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")
_FIXES = {
    "datasets": "check the path",
    "resume_from_checkpoint": "remove it; --resume continues from the newest checkpoint of an unfinished run",
}


@dataclass(frozen=True)
class UnsupportedKey:
    """A key that the programs of `stages` do not read. With one of the `harmless` values nothing is lost."""

    key: str
    harmless: tuple[Any, ...]
    fix: str
    stages: tuple[Stage, ...] = tuple(Stage)


UNSUPPORTED = (
    UnsupportedKey("dataset_kwargs", (None, {}), "remove it: this program tokenizes the rows itself", (Stage.SFT,)),
    UnsupportedKey("truncation_mode", ("keep_start",), "use long_rows, which sets what happens to long rows"),
    UnsupportedKey("padding_free", (False,), "remove it: TRL's DPOTrainer pads anyway", (Stage.DPO,)),
    UnsupportedKey("ignore_bias_buffers", (False,), "remove it: no current model needs it"),
    UnsupportedKey("do_train", (True,), "remove it: this program trains, and doctor.py only checks"),
    UnsupportedKey("do_predict", (False,), "remove it, and answer the test split with compare.py"),
    UnsupportedKey("include_for_metrics", ([],), "remove it: compare.py and perplexity.py compute metrics"),
    UnsupportedKey("batch_eval_metrics", (False,), "remove it: compare.py and perplexity.py compute metrics"),
    UnsupportedKey("length_column_name", ("length",), "remove it: lengths are counted from the tokens"),
    UnsupportedKey("lora_task_type", ("CAUSAL_LM",), "remove it: this program trains causal language models"),
)


@dataclass(frozen=True)
class DependentKeys:
    """Keys that have an effect only if `applies` is true of the recipe."""

    keys: tuple[str, ...]
    applies: Callable[[Keys], bool]
    need: str


def _is(key: str, value: Any, default: Any = None) -> Callable[[Keys], bool]:
    return lambda keys: keys.get(key, default) == value


LORA_KEYS = (
    "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_parameters", "lora_modules_to_save",
    "use_rslora", "use_dora",
)  # fmt: skip
_OF_ONE_DATASET = ("dataset_name", "dataset_config", "dataset_train_split", "dataset_revision")
_BNB_KEYS = ("bnb_4bit_quant_type", "bnb_4bit_quant_storage", "use_bnb_nested_quant")
_KEEP_BEST_KEYS = ("keep_best_rows", "keep_best_max_new_tokens", "run_code")
_HUB_KEYS = ("hub_model_id", "hub_strategy", "hub_revision", "hub_private_repo", "hub_always_push")
DEPENDENT = (
    DependentKeys(("eval_steps",), _is("eval_strategy", "steps"), "eval_strategy: steps"),
    DependentKeys(("save_steps",), _is("save_strategy", "steps", "steps"), "save_strategy: steps"),
    DependentKeys(("logging_steps",), _is("logging_strategy", "steps", "steps"), "logging_strategy: steps"),
    DependentKeys(("num_train_epochs",), _is("max_steps", -1, -1), "no max_steps"),
    DependentKeys(("packing_strategy",), _is("packing", True), "packing: true"),
    DependentKeys(_BNB_KEYS, _is("load_in_4bit", True), "load_in_4bit: true"),
    DependentKeys(_KEEP_BEST_KEYS, lambda keys: keys.get("keep_best") is not None, "keep_best"),
    DependentKeys(_HUB_KEYS, _is("push_to_hub", True), "push_to_hub: true"),
    DependentKeys(("f_alpha_divergence_coef",), _is("f_divergence_type", "alpha_divergence"), "f_divergence_type"),
    DependentKeys(("discopop_tau",), lambda keys: "discopop" in (keys.get("loss_type") or ()), "loss_type: discopop"),
    DependentKeys(
        ("ref_model_mixup_alpha", "ref_model_sync_steps"), _is("sync_ref_model", True), "sync_ref_model: true"
    ),
    DependentKeys(("precompute_ref_batch_size",), _is("precompute_ref_log_probs", True), "precompute_ref_log_probs"),
    DependentKeys(("liger_kernel_config",), _is("use_liger_kernel", True), "use_liger_kernel: true"),
    DependentKeys(("fsdp_config",), lambda keys: bool(keys.get("fsdp")), "fsdp"),
)
_UNSET: tuple[Any, ...] = (None, False, "", [])


def checks_of(stage: Stage) -> Sequence[Check]:
    """Return the checks that `parse_recipe` runs for a program of `stage`."""
    return [missing_paths, partial(unsupported_keys, stage), partial(best_is_kept, stage)]


def missing_paths(keys: Keys) -> Iterator[UserError]:
    """Yield an error for each path of a recipe that does not exist, is empty, or holds a shell variable."""
    for key, path in _paths(keys):
        if not path:
            yield UserError(f"`{key}` is an empty string, expected a path", f"write one, or remove `{key}`")
        elif _VARIABLE.search(path):
            yield UserError(
                f"`{key}` is {path}, and variables are not expanded in a recipe",
                f'write the path, or pass --{key} "{path}" on the command line, where the shell expands it',
            )
        elif key != "output_dir" and (key in _FILES or _is_local(path)) and not _exists(path):
            yield UserError(
                f"`{key}` is {path}, which does not exist",
                _FIXES.get(key, f"check the path, or pass another with --{key}"),
            )
        elif key in _FROM_THE_HUB and _exists(path):
            yield from _unusable_folder(key, Path(path))
        elif key in _FROM_THE_HUB and not _is_pattern(path) and not _HUB_ID.fullmatch(path):
            yield UserError(f"`{key}` is {path}, expected a path, or a Hub id as org/name or org/name@revision")


def _unusable_folder(key: str, path: Path) -> Iterator[UserError]:
    """An error for a folder that cannot be a model, or a dataset."""
    configs = ("config.json", "adapter_config.json")
    if key in _MODELS and path.is_dir() and not any((path / name).is_file() for name in configs):
        yield UserError(f"`{key}` is {path}, a folder without config.json", "check the path")
    elif key in _MODELS:
        try:
            refuse_torn_checkpoint(path)
        except UserError as error:
            yield error
    elif key == "dataset_name" and path.is_dir() and not any(one.is_file() for one in path.rglob("*")):
        yield UserError(f"`{key}` is {path}, a folder without files", "check the path")


def _paths(keys: Keys) -> Iterator[tuple[str, str]]:
    yield from ((key, keys[key]) for key in PATH_KEYS if isinstance(keys.get(key), str))
    parts = keys.get("datasets")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and isinstance(part.get("path"), str):
            yield "datasets", part["path"]


def _is_pattern(path: str) -> bool:
    """Whether it is a URL or a pattern of files."""
    return "://" in path or any(mark in path for mark in "*?[")


def _is_local(path: str) -> bool:
    """Whether `path` cannot be a Hub id (NAME or ORG/NAME, with @revision)."""
    if _is_pattern(path):
        return False
    name = path.partition("@")[0]
    if name.startswith(("/", ".", "~")) or name.endswith("/") or name.count("/") > 1 or "\\" in name:
        return True
    return _FILE_ENDING.search(name) is not None or _is_among_ours(Path(name))


def _is_among_ours(path: Path) -> bool:
    """Whether `path` would be in a folder with outputs of this project, such as runs/."""
    return len(path.parts) == 2 and any(
        next(path.parent.glob(f"*/{record}"), None) is not None for record in ("run.json", "manifest.json")
    )


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long for a file name; a null character
        return False


def unsupported_keys(stage: Stage, keys: Keys) -> Iterator[UserError]:
    """Yield an error for each key that asks for what the program of `stage` does not do. Keys that have no effect in
    this recipe are printed on stderr."""
    for one in UNSUPPORTED:
        if one.key in keys and stage in one.stages and keys[one.key] not in one.harmless:
            yield UserError(f"`{one.key}: {keys[one.key]}` is not supported by {stage.value}.py", one.fix)
    lora = [key for key in LORA_KEYS if keys.get(key) not in _UNSET]
    if lora and "use_peft" not in keys and not keys.get("adapter_name_or_path"):
        problem = f"{', '.join(lora)} without use_peft would train all weights and no adapter"
        yield UserError(problem, "set use_peft: true, or remove the LoRA keys")
    doubled = [key for key in _OF_ONE_DATASET if keys.get(key) and keys.get("datasets")]
    if doubled:
        problem = f"datasets and {', '.join(doubled)} are both set, expected datasets or dataset_name"
        yield UserError(problem, "write them into the entries of datasets")
    idle = [
        f"`{key}` (needs {one.need})"
        for one in DEPENDENT
        for key in one.keys
        if keys.get(key) not in _UNSET and not one.applies(keys)
    ]
    if stage is Stage.DPO and keys.get("dataset_num_proc"):
        idle.append("`dataset_num_proc` (dpo.py tokenizes in one process)")
    if idle:
        say(f"ignored in this recipe: {', '.join(idle)}")
