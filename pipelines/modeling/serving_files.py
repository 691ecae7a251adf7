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

from pipelines.errors import UserError
from pipelines.files import give_umask_mode, read_json, write_json_atomically

_TEMPLATE = "chat_template.jinja"
_TOKENIZER_CONFIG = "tokenizer_config.json"
# transformers 5's name for a tokenizer that is only a tokenizer.json; it reads the old name as the same class
_CLASS_NAMES = {"TokenizersBackend": "PreTrainedTokenizerFast"}


def complete_saved_model(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Complete the adapter or model in `folder` and its `tokenizer`, just saved: config.json, tokenizer_config.json,
    and weight files with the umask's mode (safetensors makes them readable for their owner only)."""
    for weights in folder.glob("*.safetensors"):
        give_umask_mode(weights)
    path = folder / "config.json"
    if path.is_file():
        config = read_json(path)
        completed = with_older_rope_keys(config)
        if completed != config:
            write_json_atomically(path, dict(sorted(completed.items())))
    complete_tokenizer_config(folder, tokenizer)


def complete_tokenizer_config(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Complete the tokenizer_config.json of `tokenizer` in `folder`.

    `additional_special_tokens` replaces a list of `extra_special_tokens`, at which transformers 4 fails. Whether the
    tokenizer adds BOS and EOS is written out, because transformers 4 and llama.cpp have defaults by class. The chat
    template is written there too: transformers.js looks nowhere else, and llama.cpp looks there first.
    """
    path = folder / _TOKENIZER_CONFIG
    config = read_json(path)
    name = str(config.get("tokenizer_class"))
    config["tokenizer_class"] = _CLASS_NAMES.get(name, name)
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    config["add_bos_token"], config["add_eos_token"] = added_tokens(tokenizer)
    template = _template_in_files(folder)
    if template is not None:
        config["chat_template"] = template
    write_json_atomically(path, dict(sorted(config.items())))


def refuse_two_templates(folder: Path) -> None:
    """Raise `UserError` if `folder` has two different chat templates: transformers reads the file, llama.cpp's
    converter and transformers.js read tokenizer_config.json."""
    path = folder / _TOKENIZER_CONFIG
    beside = _template_in_files(folder)
    inside = read_json(path).get("chat_template") if beside is not None and path.is_file() else None
    if inside is not None and _lines(inside) != _lines(beside):
        problem = f"the chat template in {path} is not the one in {folder / _TEMPLATE}, and engines read either"
        raise UserError(problem, "delete the outdated one (transformers reads chat_template.jinja)")


def added_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[bool, bool]:
    """Whether `tokenizer` adds BOS before a text, and EOS after it."""
    plain, whole = (tokenizer("a", add_special_tokens=adds)["input_ids"] for adds in (False, True))
    begins, ends = (whole[:1] == [tokenizer.bos_token_id], whole[-1:] == [tokenizer.eos_token_id])
    return begins and whole[:1] != plain[:1], ends and whole[-1:] != plain[-1:]


def with_older_rope_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with `rope_theta`, `partial_rotary_factor` and `rope_scaling` next to `rope_parameters`, for the text
    model too; unchanged where transformers would not load both as equal configs."""
    completed = {**config, **_older_rope_keys(config.get("rope_parameters") or {})}
    if isinstance(config.get("text_config"), dict):
        completed["text_config"] = with_older_rope_keys(config["text_config"])
    return completed if _load_equal(config, completed) else dict(config)


def _older_rope_keys(rope: Mapping[str, Any]) -> dict[str, Any]:
    """The names of transformers 4 for the values in `rope`."""
    if isinstance(rope.get("full_attention"), dict):  # Gemma 3: parameters for each type of layer
        local = rope.get("sliding_attention") or {}
        theta = {"rope_local_base_freq": local["rope_theta"]} if "rope_theta" in local else {}
        return {**_older_rope_keys(rope["full_attention"]), **theta}
    found = {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if key in rope}
    if rope.get("rope_type", "default") != "default":
        found["rope_scaling"] = {key: value for key, value in rope.items() if key not in found}
    return found


def _load_equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    kind = one.get("model_type")
    if kind not in CONFIG_MAPPING:
        return False
    first, second = (CONFIG_MAPPING[kind].from_dict(copy.deepcopy(dict(config))) for config in (one, other))
    return bool(first.to_dict() == second.to_dict())


def _template_in_files(folder: Path) -> str | list[dict[str, str]] | None:
    """The template, or the named ones, that transformers reads from files of their own; None without any."""
    if not (folder / _TEMPLATE).is_file():
        return None
    default = (folder / _TEMPLATE).read_text(encoding="utf-8")
    more = {one.stem: one.read_text(encoding="utf-8") for one in folder.glob("additional_chat_templates/*.jinja")}
    if not more:
        return default
    named = {"default": default, **dict(sorted(more.items()))}
    return [{"name": name, "template": text} for name, text in named.items()]


def _lines(template: Any) -> Any:
    """The template, or the named ones, without differences that reading a file makes."""
    if isinstance(template, list):
        return {one["name"]: _lines(one["template"]) for one in template}
    return template.splitlines() if isinstance(template, str) else template
