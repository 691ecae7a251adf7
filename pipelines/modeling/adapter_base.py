"""An adapter belongs to one base: telling another base before anything is trained, and attaching it to its own."""

import copy
from pathlib import Path

from peft import PeftModel, get_peft_model_state_dict
from peft.utils import load_peft_weights
from safetensors import SafetensorError
from transformers import GenerationConfig, PreTrainedModel

from pipelines.errors import UserError
from pipelines.hub.pulling import local_copy, same_weights
from pipelines.hub.references import reference
from pipelines.modeling.loading import (
    attach_quietly,
    base_in_records,
    base_of_adapter,
    hub_commit,
    model_fingerprint,
)


def refuse_other_base(adapter: str, base: str, revision: str | None = None) -> None:
    """Raise `UserError` if `adapter` was made for another base than `base`.

    The fingerprint in the lock.json or run.json beside the adapter decides where there is one, so a base that was moved
    is known again and one that was trained on is not; else the base's path or Hub id in adapter_config.json, and the
    weights there where both are folders or commits of one repository.
    """
    named = base_of_adapter(adapter)
    how = "with other weights" if _same_place(named, base) or _same_id(named, base) else ""
    recorded = base_in_records(adapter).get("fingerprint")
    if isinstance(recorded, str):
        found = model_fingerprint(base, revision)
        if found.partition(":")[0] == recorded.partition(":")[0]:  # a folder's hash says nothing about a Hub commit
            if found != recorded and not _same_on_hub(recorded.removeprefix("hub:"), base, revision):
                raise _other_base(adapter, named, base, f"{how or 'which is another'} ({found}, locked: {recorded})")
            return
    if not (_same_place(named, base) or _same_weights(named, base) or _same_on_hub(named, base, revision)):
        raise _other_base(adapter, named, base, how)


def attach_trainable_adapter(base_model: PreTrainedModel, adapter: str, base: str) -> PeftModel:
    """`adapter` on `base_model`, to be trained on; the generation config is the adapter's where it has one.

    Raises `UserError` if the adapter's matrices do not fit all their places in the base.
    """
    found = local_copy(adapter, weights=True)
    try:
        with attach_quietly():
            model = PeftModel.from_pretrained(base_model, str(found.folder), is_trainable=True)
            weights = load_peft_weights(str(found.folder), device="cpu")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _misfit(adapter, base, " ".join(str(error).split())[:200]) from error
    wanted = get_peft_model_state_dict(model, save_embedding_layers=False).keys()
    absent = sorted(wanted - weights.keys())
    unused = sorted(name for name in weights.keys() - wanted if ".lora_" in name)
    if absent or unused:
        which = f"no place for {unused[0]}" if unused else f"no weights for {absent[0]}"
        raise _misfit(adapter, base, f"{which} and {len(absent) + len(unused) - 1} others")
    if found.has("generation_config.json"):
        base_model.generation_config = GenerationConfig.from_pretrained(found.folder)
    config = model.peft_config["default"] = copy.copy(model.peft_config["default"])
    # where it lies now: what is saved must find it again
    config.base_model_name_or_path, config.revision = reference(base).repo_id or base, hub_commit(base_model)
    return model


def _same_place(one: str, other: str) -> bool:
    return one == other or (Path(other).is_dir() and Path(one).resolve() == Path(other).resolve())


def _same_weights(one: str, other: str) -> bool:
    return Path(one).is_dir() and Path(other).is_dir() and model_fingerprint(one) == model_fingerprint(other)


def _same_id(one: str, other: str) -> bool:
    return not Path(other).exists() and one.partition("@")[0] == other.partition("@")[0]


def _same_on_hub(recorded: str, base: str, revision: str | None) -> bool:
    """Whether `base` is the repository of `recorded` (org/name, or org/name@revision) with the same weights."""
    if not _same_id(recorded, base):
        return False
    repo_id, _, of_adapter = recorded.partition("@")
    return not of_adapter or same_weights(repo_id, of_adapter, str(local_copy(base, revision).commit))


def _other_base(adapter: str, named: str, base: str, how: str) -> UserError:
    return UserError(
        expected=f"the base of the adapter {adapter}, which is {named}",
        got=" ".join(["the base", base, *([how] if how else [])]),
        remedy=f"give {named} as the base, or an adapter that was trained on {base}; if they are one model in two "
        "places, write this one's place into adapter_config.json",
    )


def _misfit(adapter: str, base: str, what: str) -> UserError:
    return UserError(
        expected=f"an adapter that fits the base {base}",
        got=f"{adapter}: {what}",
        remedy="set model_name_or_path to the base that the adapter was trained on",
    )
