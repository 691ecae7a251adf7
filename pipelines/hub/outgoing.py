"""What of a run is published: the files by name, and their content as it leaves the machine."""

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
# Records that the card and reproduce.py stand on. run.json and ledger.json stay: the card tells what a reader needs of
# them, and the doctor's findings in run.json quote rows. So do responses.jsonl and samples.jsonl.
RECORDS = ("comparison.json", "perplexity.json", "benchmark.json", "merge.json")
_QUOTING = "longest_overlaps"  # of comparison.json's details: answers word by word where they repeat training rows
_GGUF = b"GGUF"  # what such a file begins with, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
# What transformers notes of the machine where a tokenizer was loaded.
_LOCAL_KEYS = ("is_local", "local_files_only", "name_or_path", "_name_or_path")


@dataclass(frozen=True)
class OutgoingFile:
    """A file as the repository gets it: `content` is a file of this machine, or bytes that differ from what is here."""

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


def is_adapter(folder: Path) -> bool:
    """Whether `folder` holds an adapter, which loads onto a base, and not a whole model."""
    return (folder / "adapter_config.json").is_file()


def is_published(name: str) -> bool:
    """Whether a push writes files of this name, and so may replace or remove one in a repository."""
    patterns = (*_OF_THE_MODEL, "*.gguf")
    return name in (CARD, LOCK, *RECORDS) or any(
        fnmatch(name, one) and name.count("/") == one.count("/") for one in patterns
    )


def run_files(
    folder: Path, *, lock: Mapping[str, Any], base: HubBase | None, card: str, records: Sequence[Path] = ()
) -> list[OutgoingFile]:
    """What is published of the run, checkpoint or merged model at `folder`, sorted by name, with `lock`, `card` and the
    records in the folders `records`. `base` is what an adapter is said to stand on.

    Raises `UserError` if there are no safetensors weights.
    """
    paths = {path for pattern in _OF_THE_MODEL for path in folder.glob(pattern) if path.is_file()}
    files = [_of_the_model(folder, path.relative_to(folder).as_posix(), base) for path in paths]
    if not any(file.name.endswith(".safetensors") for file in files):
        raise UserError(
            expected=f"weights in safetensors in {folder}", got="none", remedy="give the output_dir of a finished run"
        )
    return sorted([*files, *described(lock, base, card, (folder, *records))], key=lambda file: file.name)


def weight_files(path: Path, *, lock: Mapping[str, Any], base: HubBase | None, card: str) -> list[OutgoingFile]:
    """A GGUF file with its lock and card. Raises `UserError` for another format, which could hold anything."""
    if not path.is_file():
        raise UserError(expected=f"a file at {path}", got="none", remedy="check the path")
    file = OutgoingFile(path.name, path)
    if path.suffix != ".gguf" or file.read(len(_GGUF)) != _GGUF:
        raise UserError(
            expected=f"a GGUF file at {path}, named *.gguf", got="another format", remedy="give what llama.cpp wrote"
        )
    return [*described(lock, base, card), file]


def described(
    lock: Mapping[str, Any], base: HubBase | None, card: str, folders: Sequence[Path] = ()
) -> list[OutgoingFile]:
    """Card, lock and the evaluation's records in `folders`, of which the last that has one counts."""
    records = {name: folder / name for folder in folders for name in RECORDS if (folder / name).is_file()}
    files = [OutgoingFile(name, _json_bytes(_record(path))) for name, path in records.items()]
    lock = lock if base is None else {**lock, "base": {**(lock.get("base") or {}), **base.to_json()}}
    return [
        OutgoingFile(CARD, card.encode()),
        OutgoingFile(LOCK, _json_bytes(without_local_paths(lock, but=("diff",)))),  # a diff that is changed is none
        *files,
    ]


def _record(path: Path) -> dict[str, Any]:
    """A record of the evaluation, without the texts of answers and rows that it quotes."""
    facts = read_json(path)
    details = {key: value for key, value in (facts.get("details") or {}).items() if key != _QUOTING}
    return dict(without_local_paths({**facts, "details": details} if "details" in facts else facts))


def _of_the_model(folder: Path, name: str, base: HubBase | None) -> OutgoingFile:
    path = folder / name
    if name == "adapter_config.json" and base is not None:
        named = {"base_model_name_or_path": base.repo_id, "revision": base.commit}
        return OutgoingFile(name, _json_bytes(without_local_paths({**read_json(path), **named})))
    if name in ("tokenizer_config.json", "config.json"):
        facts = read_json(path)
        if any(key in facts for key in _LOCAL_KEYS):
            return OutgoingFile(name, _json_bytes({k: v for k, v in facts.items() if k not in _LOCAL_KEYS}))
    return OutgoingFile(name, path)


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
