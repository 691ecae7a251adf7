"""Saved model folders in the form that every engine reads, and that transformers 5 loads as before.

transformers 5 saves names of its own: `rope_parameters`, `TokenizersBackend`, a list of `extra_special_tokens`, a
template in a file. transformers 4, mlx-lm, llama.cpp's converter and transformers.js read others. Both are written
here, after every save.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedTokenizerBase

from pipelines.files import give_umask_mode, read_json, write_json_atomically
from pipelines.modeling.chat.template_files import TOKENIZER_CONFIG, template_in_files
from pipelines.modeling.loading import attach_quietly

# transformers 5's name for a tokenizer that is only a tokenizer.json; it reads the old name as the same class
_CLASS_NAMES = {"TokenizersBackend": "PreTrainedTokenizerFast"}
_OWN_NAMES = {"gpt_neox": {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}}
_LENGTHS = {"gpt2": {"n_ctx": "n_positions"}}  # mlx-lm and llama.cpp's converter have no default for n_ctx
_GEMMA_3 = ("gemma3", "gemma3_text", "gemma3n", "gemma3n_text")  # theta of the sliding layers is a key of its own


def complete_saved_model(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Complete the adapter or model in `folder` and its `tokenizer`, just saved: config.json, tokenizer_config.json,
    and weight files with the umask's mode (safetensors makes them readable for their owner only)."""
    for weights in folder.glob("*.safetensors"):
        give_umask_mode(weights)
    path = folder / "config.json"
    if path.is_file():
        config = read_json(path)
        completed = with_older_keys(config)
        if completed != config:
            write_json_atomically(path, dict(sorted(completed.items())))
    complete_tokenizer_config(folder, tokenizer)


def complete_tokenizer_config(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Complete the tokenizer_config.json of `tokenizer` in `folder`.

    `additional_special_tokens` replaces a list of `extra_special_tokens`, at which transformers 4 fails. Whether the
    tokenizer adds BOS and EOS is written out, because transformers 4 and llama.cpp have defaults by class; so is
    `legacy`, which transformers 5 reads and does not save. The chat template is written there too: transformers.js
    looks nowhere else, and llama.cpp looks there first.
    """
    path = folder / TOKENIZER_CONFIG
    config = read_json(path)
    name = str(config.get("tokenizer_class"))
    config["tokenizer_class"] = _CLASS_NAMES.get(name, name)
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    config["add_bos_token"], config["add_eos_token"] = added_tokens(tokenizer)
    if hasattr(tokenizer, "legacy"):
        config["legacy"] = tokenizer.legacy
    template = template_in_files(folder)
    if template is not None:
        config["chat_template"] = template
    write_json_atomically(path, dict(sorted(config.items())))


def added_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[bool, bool]:
    """Whether `tokenizer` adds BOS before a text, and EOS after it."""
    plain, whole = (tokenizer("a", add_special_tokens=adds)["input_ids"] for adds in (False, True))
    begins, ends = (whole[:1] == [tokenizer.bos_token_id], whole[-1:] == [tokenizer.eos_token_id])
    return begins and whole[:1] != plain[:1], ends and whole[-1:] != plain[-1:]


def with_older_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with `rope_theta`, `partial_rotary_factor` and `rope_scaling` next to `rope_parameters`, for the text
    model too, and GPT-2's `n_ctx`; each one only if transformers loads the config with it as an equal one."""
    completed, loaded, kind = dict(config), _loaded(config), str(config.get("model_type"))
    added = _older_rope_keys(kind, config.get("rope_parameters") or {})
    added |= {older: config[name] for older, name in _LENGTHS.get(kind, {}).items() if name in config}
    if isinstance(config.get("text_config"), dict):
        added["text_config"] = with_older_keys(config["text_config"])
    for name, value in added.items():
        other = _loaded({**completed, name: value})
        if loaded is not None and other is not None and {**other, name: None} == {**loaded, name: None}:
            completed[name] = value
    return completed


def _older_rope_keys(kind: str, rope: Mapping[str, Any]) -> dict[str, Any]:
    """The names of transformers 4 for the values in `rope`."""
    by_layer = {layer: value for layer, value in rope.items() if isinstance(value, dict)}
    if by_layer:
        first = by_layer.get("full_attention") or next(iter(by_layer.values()))
        differ = len({one.get("rope_theta") for one in by_layer.values()}) > 1
        own = {"rope_local_base_freq": by_layer["sliding_attention"]["rope_theta"]} if kind in _GEMMA_3 else {}
        return {**_older_rope_keys(kind, first), **own} if own or not differ else {}
    names = _OWN_NAMES.get(kind, {"rope_theta": "rope_theta", "partial_rotary_factor": "partial_rotary_factor"})
    found = {older: rope[name] for name, older in names.items() if name in rope}
    if rope.get("rope_type", "default") != "default":
        found["rope_scaling"] = {name: value for name, value in rope.items() if name not in names}
    return found


def _loaded(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """`config` as transformers loads it; None if it cannot."""
    kind = str(config.get("model_type"))
    if kind not in CONFIG_MAPPING:
        return None
    try:
        with attach_quietly():
            return dict(CONFIG_MAPPING[kind].from_dict(copy.deepcopy(dict(config))).to_dict())
    except (ValueError, KeyError, TypeError, AttributeError):  # each model type has its own checks
        return None
