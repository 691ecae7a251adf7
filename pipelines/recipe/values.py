"""The value of each key as its type, with the choices and the range that it has."""

import difflib
import math
import re
from typing import Any

from pipelines.errors import UserError
from pipelines.recipe.accepted_keys import AcceptedKey, accepted_keys, registered_names
from pipelines.recipe.ranges import RANGES
from pipelines.recipe.written import Written, read_yaml_value

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_WORDS = re.compile(r"[\w.\-]+(,\s*[\w.\-]+)+")  # a,b,c: not a pattern, not a sentence
_NO_NUMBER = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)  # as YAML writes them
_PROSE = ("sample_prompts",)  # lists whose items may hold a comma
_PATHS_OR_MAPPINGS = ("deepspeed", "fsdp_config", "accelerator_config", "data_files")
# Values of other trainers for keys that are true or false here.
_OTHER_VALUES = {
    ("bf16", "auto"): "remove it: the precision follows from the machine",
    ("fp16", "auto"): "remove it: the precision follows from the machine",
    ("tf32", "auto"): "remove it",
    ("gradient_checkpointing", "unsloth"): "write true",
    ("activation_checkpointing", "unsloth"): "write true",
}
# Choices that are neither in a key's type nor in its help text: the library's registry, and what else it accepts.
_REGISTRIES = {
    "attn_implementation": (("transformers.modeling_utils", "_global_mapping"), ("eager",)),
    "report_to": (("transformers.integrations.integration_utils", "INTEGRATION_TO_CALLBACK"), ("all", "none")),
}
_LISTED = {
    "bnb_4bit_quant_storage": ("uint8", "float16", "bfloat16", "float32"),
    "pad_to_multiple_of": ("auto",),
    "torch_compile_mode": ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
    "save_dtype": ("float32", "bfloat16"),
}


def typed(key: AcceptedKey, written: Written) -> Any:
    """`written` as a value of `key`. Raises `UserError` for another type, for none of its choices, or out of range."""
    value = _converted(key, written)
    _refuse_other_than_choices(key, value)
    _refuse_out_of_range(key.name, value)
    return value


def _converted(key: AcceptedKey, written: Written) -> Any:
    text, value = written.text, written.value
    if text is not None and ("\0" in text or (text == "" and written.from_command_line)):
        raise _ill_typed(key, repr(text))
    if text is not None and "dict" in key.types and key.name not in _PATHS_OR_MAPPINGS:
        value = read_yaml_value(text)  # '{"num_cycles": 2}', as the command line has it
    if "dict" in key.types and isinstance(value, dict):
        return value
    if text is not None and "list" in key.types and isinstance(value, list):
        return _list(key, value, tuple(map(str, value)))
    if text is not None:
        return _scalar(key, text, value)
    if value is None:
        if "None" in key.types:
            return None
        raise _ill_typed(key, "nothing", remedy=f"write a value, or remove `{key.name}`")
    if value is True and "bool" in key.types:
        return True
    if isinstance(value, list) and "list" in key.types:
        return _list(key, value, written.items)
    if written.from_command_line:
        words = "none" if value is True else " ".join(map(repr, written.items or ()))
        raise UserError(expected=f"one value after --{key.name}", got=words, remedy=f"write --{key.name} VALUE")
    raise _ill_typed(key, repr(value))


def _scalar(key: AcceptedKey, text: str, value: Any) -> Any:
    if "None" in key.types and (text == "None" or ("str" not in key.types and text.lower() in ("none", "null"))):
        return None
    if "bool" in key.types and isinstance(value, bool):
        return value
    if "dict" in key.types and key.name not in _PATHS_OR_MAPPINGS:
        raise _ill_typed(key, repr(text))
    if "list" in key.types and ("str" not in key.types or _WORDS.fullmatch(text)):
        items = re.split(r",\s*", text) if _WORDS.fullmatch(text) and key.name not in _PROSE else [text]
        return _list(key, items, tuple(items))
    if key.types & {"int", "float"}:
        return _number(key, text)
    if "bool" in key.types and "str" not in key.types:
        if text.lower() not in _BOOLEANS:
            raise _ill_typed(key, repr(text), remedy=_OTHER_VALUES.get((key.name, text)))
        return _BOOLEANS[text.lower()]
    return _spelled_as_choice(key, text)


def _number(key: AcceptedKey, text: str) -> int | float | str:
    try:
        number = int(text) if re.fullmatch(r"[-+]?[\d_]+", text) else float(_NO_NUMBER.sub("nan", text))
    except ValueError:
        if "str" in key.types:
            return text
        raise _ill_typed(key, repr(text)) from None
    if not math.isfinite(number):
        raise _ill_typed(key, repr(text), expected="a finite number")
    if "float" in key.types:
        return number
    if number != int(number):
        raise _ill_typed(key, repr(text))
    return int(number)


def _list(key: AcceptedKey, values: list[Any], items: tuple[str, ...] | None) -> list[Any]:
    """`values` as the items of `key`; `items` is how each is written, None if they are no scalars."""
    if key.item_type == "DatasetConfig":
        if not all(isinstance(one, dict) for one in values):
            raise _ill_typed(key, repr(values))
        return [_mixture_part(number, one) for number, one in enumerate(values, 1)]
    if key.item_type == "float":
        try:
            return [float(item) for item in items or [""]]
        except ValueError:
            raise _ill_typed(key, repr(values)) from None
    if items is None or not all(isinstance(one, str | bool) for one in values):  # a bool is how YAML reads `no`
        raise _ill_typed(key, repr(values))
    return [_spelled_as_choice(key, item) for item in items]


def _mixture_part(number: int, entry: dict[Any, Any]) -> dict[str, Any]:
    """One entry of `datasets`, its values typed."""
    accepted = accepted_keys(["pipelines.recipe.arguments.MixturePart"])
    unknown = [str(one) for one in entry if one not in accepted]
    if unknown or "path" not in entry:
        raise UserError(
            expected=f"entry {number} of `datasets` to have a path, and keys of {', '.join(accepted)}",
            got=f"the unknown {', '.join(unknown)}" if unknown else "no path",
            remedy=f"remove or rename {', '.join(unknown)}" if unknown else "name its path",
        )
    pairs = [(one, Written(value, None if value is None else str(value))) for one, value in entry.items()]
    plain = {one: entry[one] for one, written in pairs if isinstance(written.value, dict | list)}
    return {one: plain[one] if one in plain else typed(accepted[one], written) for one, written in pairs}


def _spelled_as_choice(key: AcceptedKey, text: str) -> str:
    """`text`, in lower case where only that makes it a choice; false is how YAML spells a bare `off` or `no`."""
    if text in key.choices or text.lower() in key.choices:
        return text if text in key.choices else text.lower()
    off = [choice for choice in ("off", "no") if choice in key.choices]
    return off[0] if text.lower() == "false" and off else text


def _refuse_other_than_choices(key: AcceptedKey, value: Any) -> None:
    choices = choices_of(key)
    values = value if isinstance(value, list) else [value]
    for one in values if choices else ():
        if isinstance(one, str) and one not in choices and not _is_kernel(key.name, one):
            close = difflib.get_close_matches(one, choices, n=1)
            if one.lower() in ("false", "no", "off") and "none" in choices:
                close = ["none"]
            raise UserError(
                expected=f"`{key.name}` to be one of {', '.join(choices)}",
                got=repr(one),
                remedy=f"did you mean {close[0]}?" if close else "choose one of them",
            )


def choices_of(key: AcceptedKey) -> tuple[str, ...]:
    """The values that `key` accepts, empty for any."""
    if key.name in _REGISTRIES:
        (module, variable), others = _REGISTRIES[key.name]
        return (*others, *registered_names(module, variable))
    return key.choices or _LISTED.get(key.name, ())


def _is_kernel(key: str, value: str) -> bool:
    """Whether `value` is an attention of the Hub, as org/name."""
    return key == "attn_implementation" and ("/" in value or value.startswith("paged|"))


def _refuse_out_of_range(key: str, value: Any) -> None:
    if key in RANGES and isinstance(value, int | float) and not isinstance(value, bool):
        is_allowed, words = RANGES[key]
        if not is_allowed(value):
            raise UserError(expected=f"{words} for `{key}`", got=str(value), remedy=f"change `{key}`")


def _ill_typed(key: AcceptedKey, got: str, *, expected: str | None = None, remedy: str | None = None) -> UserError:
    words = expected or _words(key)
    return UserError(expected=f"{words} for `{key.name}`", got=got, remedy=remedy or f"write `{key.name}` as {words}")


def _words(key: AcceptedKey) -> str:
    """What a value of `key` is, in words."""
    if key.types & {"int", "float"}:
        return "a whole number" if "float" not in key.types else "a number"
    if "list" in key.types:
        others = {"float": "a list of numbers", "DatasetConfig": "a list of mappings, each with a path,"}
        return others.get(key.item_type, "a list of words")
    if "dict" in key.types:
        return "a mapping"
    return "true or false" if "bool" in key.types and "str" not in key.types else "text"
