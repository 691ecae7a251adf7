"""The model that a recipe trains: a base, or an adapter on it that is trained further."""

from collections.abc import Mapping
from typing import Any

from trl import ModelConfig

from pipelines.errors import UserError
from pipelines.hub.model_ref import ModelRef, adapter_keys, base_of_adapter, is_adapter, refuse_other_base

# The recipe's keys for an adapter, and PEFT's names for them.
_KEYS = {
    "lora_r": "r", "lora_alpha": "lora_alpha", "lora_dropout": "lora_dropout", "use_dora": "use_dora",
    "use_rslora": "use_rslora", "lora_target_modules": "target_modules", "lora_modules_to_save": "modules_to_save",
    "lora_target_parameters": "target_parameters",
}  # fmt: skip


def starting_point(arguments: ModelConfig, adapter: str | None, keys: Mapping[str, Any] | None = None) -> ModelRef:
    """Resolve base and adapter of a recipe with `keys`; `model_name_or_path` may be an adapter, which names its base.

    Raises `UserError` if neither is given, both are adapters, the adapter belongs to another base, or the recipe has
    LoRA keys that differ from the adapter's.
    """
    model = arguments.model_name_or_path
    if model is None and adapter is None:
        raise UserError("model_name_or_path is missing in the recipe", "name a folder or a Hub id")
    if model is not None and is_adapter(model):
        if adapter is not None:
            raise UserError(
                f"model_name_or_path is the adapter {model}, and adapter_name_or_path is {adapter}: expected a base",
                f"set model_name_or_path: {base_of_adapter(adapter)}",
            )
        model, adapter = None, model
    if adapter is None:
        return ModelRef(str(model), None, arguments.model_revision)
    _refuse_other_shape(adapter, keys or {})
    base = model or base_of_adapter(adapter)
    refuse_other_base(adapter, base, arguments.model_revision)
    return ModelRef(base, adapter, arguments.model_revision)


def _refuse_other_shape(adapter: str, keys: Mapping[str, Any]) -> None:
    """An adapter that is trained further keeps its rank, its targets and so on."""
    config = adapter_keys(adapter)
    found = {key: (keys[key], config.get(name)) for key, name in _KEYS.items() if key in keys}
    other = {key: pair for key, pair in found.items() if not _are_equal(*pair)}
    if other:
        wanted = ", ".join(f"{key}: {_shown(value)}" for key, (value, _) in other.items())
        has = ", ".join(f"{key}: {_shown(value)}" for key, (_, value) in other.items())
        raise UserError(
            f"the recipe has {wanted}, the adapter {adapter} has {has}",
            "remove these keys, or train a new adapter on a merged model",
        )


def _are_equal(wanted: Any, has: Any) -> bool:
    """PEFT records the modules that `all-linear` matched, and lists in any order."""
    if str(wanted) == "all-linear" or wanted == ["all-linear"]:
        return True
    wanted, has = (set(one) if isinstance(one, list | tuple | set) else one for one in (wanted, has))
    return bool(wanted == has or {str(wanted)} == has or not (wanted or has))


def _shown(value: Any) -> str:
    return f"[{', '.join(sorted(value))}]" if isinstance(value, list | set | tuple) else str(value)
