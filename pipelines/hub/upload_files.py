"""The files of a run that are uploaded, by name, with the content that the Hub gets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.hub.base import HubBase
from pipelines.hub.local_paths import without_local_paths

CARD, LOCK = "README.md", "lock.json"

_ADAPTER = ("adapter_model*.safetensors", "adapter_model.safetensors.index.json", "adapter_config.json")
_MODEL = ("model*.safetensors", "model.safetensors.index.json", "config.json")
_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "tekken.json", "chat_template.jinja",
    "additional_chat_templates/*.jinja",
)  # fmt: skip
_OF_THE_MODEL = (*_ADAPTER, *_MODEL, *_TOKENIZER, "generation_config.json")
# Records that the card and reproduce.py need. run.json, ledger.json, responses.jsonl and samples.jsonl are not
# uploaded: they quote rows, and the card has what a reader needs of them.
RECORDS = ("comparison.json", "perplexity.json", "benchmark.json", "merge.json")
_QUOTING = "longest_overlaps"  # in comparison.json's details: the text of answers that repeat training rows
_GGUF = b"GGUF"  # the first bytes of a GGUF file, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
# Keys in which transformers records where a tokenizer was loaded.
_LOCAL_KEYS = ("is_local", "local_files_only", "name_or_path", "_name_or_path")


@dataclass(frozen=True)
class UploadFile:
    """A file to upload. `content` is a local file, or bytes where the uploaded content differs from the local file."""

    name: str
    content: Path | bytes

    @property
    def n_bytes(self) -> int:
        """Its size."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def read(self, max_bytes: int) -> bytes:
        """Its first `max_bytes` bytes."""
        if isinstance(self.content, bytes):
            return self.content[:max_bytes]
        with self.content.open("rb") as file:
            return file.read(max_bytes)


def is_published(name: str) -> bool:
    """Whether a push writes files of this name, and so may replace or remove one in a repository."""
    patterns = (*_OF_THE_MODEL, "*.gguf", "*.Modelfile")
    return name in (CARD, LOCK, *RECORDS) or any(
        fnmatch(name, one) and name.count("/") == one.count("/") for one in patterns
    )


def run_files(
    folder: Path, *, lock: Mapping[str, Any], base: HubBase | None, card: str, records: Sequence[Path] = ()
) -> list[UploadFile]:
    """The files to upload of the run, checkpoint or merged model in `folder`, sorted by name, with `lock`, `card` and
    the records in the folders `records`. `base` is the base that the adapter will name.

    Raises `UserError` without safetensors weights.
    """
    paths = {path for pattern in _OF_THE_MODEL for path in folder.glob(pattern) if path.is_file()}
    files = [_of_the_model(folder, path.relative_to(folder).as_posix(), base) for path in paths]
    if not any(file.name.endswith(".safetensors") for file in files):
        raise UserError(f"{folder} has no safetensors weights", "give the output_dir of a finished run")
    return sorted([*files, *_described(lock, base, card, (folder, *records))], key=lambda file: file.name)


def gguf_files(path: Path, *, lock: Mapping[str, Any], base: HubBase | None, card: str) -> list[UploadFile]:
    """A GGUF file with Modelfile, lock and card. Raises `UserError` for other formats: a pickle could hold anything."""
    if not path.is_file():
        raise UserError(f"there is no file {path}", "check the path")
    file = UploadFile(path.name, path)
    if path.suffix != ".gguf" or file.read(len(_GGUF)) != _GGUF:
        raise UserError(f"{path} is not a GGUF file, expected one named *.gguf", "give the file that llama.cpp wrote")
    modelfile = path.with_suffix(".Modelfile")
    beside = [UploadFile(modelfile.name, modelfile)] if modelfile.is_file() else []
    return [*_described(lock, base, card), file, *beside]


def _described(
    lock: Mapping[str, Any], base: HubBase | None, card: str, folders: Sequence[Path] = ()
) -> list[UploadFile]:
    """Card, lock and the evaluation's records; the last of `folders` that has a record counts."""
    records = {name: folder / name for folder in folders for name in RECORDS if (folder / name).is_file()}
    files = [UploadFile(name, _json_bytes(_record(path))) for name, path in records.items()]
    lock = lock if base is None else {**lock, "base": {**(lock.get("base") or {}), **base.to_json()}}
    return [
        UploadFile(CARD, card.encode()),
        UploadFile(LOCK, _json_bytes(without_local_paths(lock, but=("diff",)))),  # a changed diff no longer applies
        *files,
    ]


def _record(path: Path) -> dict[str, Any]:
    """A record of the evaluation without the texts that it quotes."""
    facts = read_json(path)
    details = {key: value for key, value in (facts.get("details") or {}).items() if key != _QUOTING}
    return dict(without_local_paths({**facts, "details": details} if "details" in facts else facts))


def _of_the_model(folder: Path, name: str, base: HubBase | None) -> UploadFile:
    path = folder / name
    if name == "adapter_config.json" and base is not None:
        named = {"base_model_name_or_path": base.repo_id, "revision": base.commit}
        return UploadFile(name, _json_bytes(without_local_paths({**read_json(path), **named})))
    if name in ("tokenizer_config.json", "config.json"):
        facts = read_json(path)
        if any(key in facts for key in _LOCAL_KEYS):
            return UploadFile(name, _json_bytes({k: v for k, v in facts.items() if k not in _LOCAL_KEYS}))
    return UploadFile(name, path)


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
