"""Secret scan: no token, home folder or user name in the files of an upload."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import get_token

from pipelines.errors import UserError
from pipelines.files.service_keys import HUB_TOKEN, find_service_keys
from pipelines.hub.local_paths import home_folder
from pipelines.hub.upload_files import UploadFile

_SECRET_VARIABLE = re.compile(r"(?:TOKEN|API_KEY|SECRET|PASSWORD|ACCESS_KEY)$")
_MIN_SECRET_CHARACTERS = 8  # a shorter value occurs in many texts by chance
_URL = re.compile(r"https?://[^\s\"'<>)\]]+")
# A vocabulary comes from the base and names no path of this machine, but "/home" and "/root" are tokens of many.
_VOCABULARIES = ("vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model")
_MAX_HEAD_BYTES = 64 * 2**20  # metadata and vocabulary of a GGUF file come before its tensors
_MAX_SHOWN = 5
_BATCH_ROWS = 1_000


@dataclass(frozen=True)
class LocalSecrets:
    """`tokens` are values of secrets; `home` and `user` are this machine's, None where it has none."""

    tokens: tuple[str, ...]
    home: str | None
    user: str | None

    def found_in(self, text: str, *, paths: bool = True) -> str | None:
        """Which kind of secret `text` contains, None without one."""
        if HUB_TOKEN.search(text) or any(token in text for token in self.tokens):
            return "a token"
        if key := next(find_service_keys(text), None):
            return f"a credential ({key[0]})"
        if paths and self.home and re.search(rf"{re.escape(self.home)}(?![\w-])", text):
            return "the path of the home folder"
        name = rf"[/\\]{re.escape(self.user)}(?![\w-])" if self.user else None
        return "the user's name in a path" if paths and name and re.search(name, _URL.sub("", text)) else None


def local_secrets(namespace: str, token: str | None = None) -> LocalSecrets:
    """The secrets of this machine. The user's name is none where it is root or the `namespace` that is pushed to."""
    values = {value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)} | {token, get_token()}
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or Path.home().name
    return LocalSecrets(
        tokens=tuple(sorted(value for value in values if value and len(value) >= _MIN_SECRET_CHARACTERS)),
        home=home_folder(),
        user=user if user not in ("root", namespace) else None,
    )


def refuse_secrets(files: Sequence[UploadFile], secrets: LocalSecrets) -> None:
    """Raise `UserError` with the file and line of each secret in `files`; the secret itself is not repeated."""
    found = [f"{what} in {file.name}{place}" for file in files for place, what in _scan(file, secrets)]
    if found:
        more = f" and {len(found) - _MAX_SHOWN} more" if len(found) > _MAX_SHOWN else ""
        raise UserError(
            f"the upload contains {', '.join(found[:_MAX_SHOWN])}{more}", "remove it and push again; nothing was sent"
        )


def _scan(file: UploadFile, secrets: LocalSecrets) -> Iterator[tuple[str, str]]:
    """(place in the file, kind of secret) for each line with one."""
    if file.name.endswith(".safetensors"):  # 8 bytes with the length of the JSON header, then the header
        size = int.from_bytes(file.read(8), "little")
        header = file.read(8 + min(size, _MAX_HEAD_BYTES))[8:].decode("utf-8", "replace")
        found = [(" (its header)", secrets.found_in(header))]
    elif file.name.endswith(".parquet") and isinstance(file.content, Path):
        found = [(f" (row {row})", "a token") for row in _rows_with_tokens(file.content, secrets)]
    elif file.name.endswith(".gguf"):
        head = file.read(_MAX_HEAD_BYTES).decode("latin-1")
        # the home folder counts only with more path behind it: alone it can be a token of the vocabulary
        home = secrets.home and re.search(rf"{re.escape(secrets.home)}/[\w.-]", head)
        path = "the path of the home folder" if home else None
        found = [(" (its metadata)", one) for one in (secrets.found_in(head, paths=False), path)]
    else:
        text = file.read(file.n_bytes).decode("utf-8", "replace")
        is_tokenizer = file.name == "tokenizer.json"
        lines = _without_vocabulary(text) if is_tokenizer else text.split("\n")
        found = [
            ("" if is_tokenizer else f" (line {number})", secrets.found_in(line, paths=file.name not in _VOCABULARIES))
            for number, line in enumerate(lines, start=1)
        ]
    yield from ((place, what) for place, what in found if what)


def _rows_with_tokens(path: Path, secrets: LocalSecrets) -> Iterator[int]:
    """The rows, from 1, that contain a token in any column. Paths in rows are the data's own."""
    import pyarrow.compute
    from pyarrow.parquet import ParquetFile

    pattern = "|".join([HUB_TOKEN.pattern, *map(re.escape, secrets.tokens)])
    n_before = 0
    with ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            rows: set[int] = set()
            for column in batch.columns:
                texts = getattr(column, "storage", column)  # of a column of JSON
                if pyarrow.types.is_string(texts.type) or pyarrow.types.is_large_string(texts.type):
                    hits = pyarrow.compute.match_substring_regex(texts, pattern)
                    rows.update(pyarrow.compute.indices_nonzero(hits).to_pylist())
            yield from (n_before + row + 1 for row in sorted(rows))
            n_before += batch.num_rows


def _without_vocabulary(text: str) -> list[str]:
    """The lines of tokenizer.json but for its vocabulary."""
    tokenizer = json.loads(text)
    model: dict[str, Any] = tokenizer.get("model") or {}
    model.pop("vocab", None)
    model.pop("merges", None)
    return json.dumps(tokenizer, indent=2, ensure_ascii=False).split("\n")
