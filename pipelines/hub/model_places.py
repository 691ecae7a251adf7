"""What a user names as a model, looked at before torch is imported: is it there, and can it be a model at all?"""

from pathlib import Path

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.hub.pulling import local_copy


def refuse_unusable_model(name: str, *, as_base: bool = False) -> None:
    """Raise `UserError` if `name` is neither a folder or repository of a model nor, unless `as_base`, of an adapter."""
    found = local_copy(name)
    folder = found.folder
    if folder.is_file() or not (found.has("config.json") or found.has("adapter_config.json")):
        _refuse(name, folder)
    if as_base and found.has("adapter_config.json"):
        described = read_json(folder / "adapter_config.json")
        base = described.get("base_model_name_or_path") if isinstance(described, dict) else None
        raise UserError(
            expected=f"a base model at {name}",
            got=f"an adapter of {base}" if base else "an adapter",
            remedy="give that base here, and the adapter by the flag that is for adapters and instruct models",
        )


def refuse_unusable_pair(model: str, adapter: str | None) -> None:
    """Raise `UserError` as `refuse_unusable_model`, and for an `adapter` on the model that is none."""
    refuse_unusable_model(model, as_base=adapter is not None)
    if adapter is not None:
        refuse_unusable_adapter(adapter)


def refuse_unusable_adapter(name: str) -> None:
    """Raise `UserError` if `name` is no folder or repository of an adapter."""
    found = local_copy(name)
    if not found.has("adapter_config.json"):
        raise UserError(
            expected=f"an adapter (with adapter_config.json) at {name}",
            got="a whole model" if found.has("config.json") else "none",
            remedy="check the path",
        )


def _refuse(name: str, folder: Path) -> None:
    files = [folder] if folder.is_file() else sorted(folder.iterdir())
    if any(file.suffix == ".gguf" for file in files):
        raise UserError(
            expected=f"a model in safetensors files at {name}",
            got="a GGUF file, which is for llama.cpp",
            remedy="give the folder that it was converted from",
        )
    if folder.is_file():
        got, remedy = "a file", "give the folder that holds config.json and the weights"
    elif (folder / "manifest.json").is_file():
        got, remedy = "a dataset folder", "check which flag is for the model"
    else:
        got, remedy = "a folder without config.json", "check the path"
    raise UserError(expected=f"a model or an adapter at {name}", got=got, remedy=remedy)
