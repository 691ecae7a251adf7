"""Where a run begins: a base, or an adapter on it that is trained further."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trl import ModelConfig

from pipelines.errors import UserError
from pipelines.modeling.adapter_base import refuse_other_base
from pipelines.modeling.loading import adapter_config, base_of_adapter, is_adapter

# The recipe's keys of an adapter, and what PEFT calls them.
_KEYS = {
    "lora_r": "r", "lora_alpha": "lora_alpha", "lora_dropout": "lora_dropout", "use_dora": "use_dora",
    "use_rslora": "use_rslora", "lora_target_modules": "target_modules", "lora_modules_to_save": "modules_to_save",
    "lora_target_parameters": "target_parameters",
}  # fmt: skip


@dataclass(frozen=True)
class StartingPoint:
    """What is trained on: a base, by folder or Hub id, and the adapter on it, if there is one."""

    base: str
    adapter: str | None


def starting_point(
    arguments: ModelConfig, adapter: str | None, keys: Mapping[str, Any] | None = None
) -> StartingPoint:  # fmt: skip
    """Base and adapter of a recipe with `keys`; `model_name_or_path` may be an adapter, which names its base.

    Raises `UserError` if neither is given, both are adapters, the adapter was made for another base, or the recipe has
    LoRA keys that are not the adapter's.
    """
    model = arguments.model_name_or_path
    if model is None and adapter is None:
        raise UserError(expected="model_name_or_path in the recipe", got="none", remedy="name a folder or a Hub id")
    if model is not None and is_adapter(model):
        if adapter is not None:
            raise UserError(
                expected=f"a base in model_name_or_path beside adapter_name_or_path {adapter}",
                got=f"the adapter {model}",
                remedy=f"set model_name_or_path: {base_of_adapter(adapter)}",
            )
        model, adapter = None, model
    if adapter is None:
        return StartingPoint(str(model), None)
    _refuse_other_shape(adapter, keys or {})
    base = model or base_of_adapter(adapter)
    refuse_other_base(adapter, base, arguments.model_revision)
    return StartingPoint(base, adapter)


def _refuse_other_shape(adapter: str, keys: Mapping[str, Any]) -> None:
    """An adapter that is trained further keeps its rank, its targets and so on."""
    config = adapter_config(adapter)
    found = {key: (keys[key], getattr(config, name, None)) for key, name in _KEYS.items() if key in keys}
    other = {key: pair for key, pair in found.items() if not _are_equal(*pair)}
    if other:
        raise UserError(
            expected=f"the LoRA keys of the adapter {adapter}: "
            + ", ".join(f"{key}: {_shown(has)}" for key, (_, has) in other.items()),
            got=", ".join(f"{key}: {_shown(wanted)}" for key, (wanted, _) in other.items()),
            remedy="remove them, or train a new adapter on a merged model",
        )


def _are_equal(wanted: Any, has: Any) -> bool:
    """PEFT records what `all-linear` stands for, and lists in any order."""
    if str(wanted) == "all-linear" or wanted == ["all-linear"]:
        return True
    wanted, has = (set(one) if isinstance(one, list | tuple | set) else one for one in (wanted, has))
    return bool(wanted == has or {str(wanted)} == has or not (wanted or has))


def _shown(value: Any) -> str:
    return f"[{', '.join(sorted(value))}]" if isinstance(value, list | set | tuple) else str(value)
