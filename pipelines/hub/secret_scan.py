"""The last look before anything is sent: no token, no home folder and no user's name in what leaves the machine."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import get_token

from pipelines.errors import UserError
from pipelines.hub.local_paths import home_folder
from pipelines.hub.outgoing import OutgoingFile

# After a letter too: in JSON a line that begins with one reads \nhf_...
_HUB_TOKEN = re.compile(r"(?:hf_(?:oauth_|jwt_)?|api_org_)[A-Za-z0-9]{20,}")
_SECRET_VARIABLE = re.compile(r"(?:TOKEN|API_KEY|SECRET|PASSWORD|ACCESS_KEY)$")
_SHORTEST_SECRET = 8  # characters: a shorter value stands in many texts by chance
_ADDRESS = re.compile(r"https?://[^\s\"'<>)\]]+")
# A vocabulary is the base's and names no path of this machine, but "/home" and "/root" are tokens of many.
_VOCABULARIES = ("vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model")
_MAX_HEAD = 64 * 2**20  # bytes: metadata and vocabulary of a GGUF file stand before its tensors
_MAX_TOLD = 5


@dataclass(frozen=True)
class Private:
    """What must not leave: `secrets` are values of tokens, `home` and `user` this machine's, None where it has none."""

    secrets: tuple[str, ...]
    home: str | None
    user: str | None

    def in_line(self, line: str, *, paths: bool = True) -> str | None:
        """What of it stands in `line`, in words that do not repeat it; None where nothing does."""
        if _HUB_TOKEN.search(line) or any(secret in line for secret in self.secrets):
            return "a token"
        if paths and self.home and re.search(rf"{re.escape(self.home)}(?![\w-])", line):
            return "the path of the home folder"
        name = rf"[/\\]{re.escape(self.user)}(?![\w-])" if self.user else None
        return "the user's name in a path" if paths and name and re.search(name, _ADDRESS.sub("", line)) else None


def private_here(namespace: str, token: str | None = None) -> Private:
    """What is private on this machine. The user's name is not where it is root's, or the `namespace` pushed to."""
    values = {value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)} | {token, get_token()}
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or Path.home().name
    return Private(
        secrets=tuple(sorted(value for value in values if value and len(value) >= _SHORTEST_SECRET)),
        home=home_folder(),
        user=user if user not in ("root", namespace) else None,
    )


def refuse_leaks(files: Sequence[OutgoingFile], private: Private) -> None:
    """Raise `UserError` with file and line of what is private in `files`; what it is is never repeated."""
    found = [f"{what} in {file.name}{place}" for file in files for place, what in _leaks(file, private)]
    if found:
        more = f" and {len(found) - _MAX_TOLD} more" if len(found) > _MAX_TOLD else ""
        raise UserError(
            expected="nothing private in what would be sent",
            got=f"{', '.join(found[:_MAX_TOLD])}{more}",
            remedy="take it out of there and push again; nothing was sent",
        )


def _leaks(file: OutgoingFile, private: Private) -> Iterator[tuple[str, str]]:
    if file.name.endswith(".safetensors"):
        lines, where = [_safetensors_header(file)], " (its header)"
    elif file.name.endswith(".gguf"):
        yield from _in_head(file, private)
        return
    else:
        lines, where = file.read(file.n_bytes).decode("utf-8", "replace").split("\n"), ""
    looked_at = _without_vocabulary(lines) if file.name == "tokenizer.json" else lines
    for number, line in enumerate(looked_at, start=1):
        if what := private.in_line(line, paths=file.name not in _VOCABULARIES):
            yield where or f" (line {number if looked_at is lines else _place(line, lines)})", what


def _without_vocabulary(lines: list[str]) -> list[str]:
    """Of tokenizer.json all but the vocabulary, as lines of its own."""
    tokenizer = json.loads("\n".join(lines))
    model: dict[str, Any] = tokenizer.get("model") or {}
    model.pop("vocab", None)
    model.pop("merges", None)
    return json.dumps(tokenizer, indent=2, ensure_ascii=False).split("\n")


def _place(line: str, lines: list[str]) -> int:
    """The number of the first of `lines` that has `line` in it; 1 where the file is laid out otherwise."""
    return next((number for number, one in enumerate(lines, start=1) if line.strip() in one), 1)


def _safetensors_header(file: OutgoingFile) -> str:
    """The JSON at the head of a safetensors file: 8 bytes with its length, little-endian, then as many bytes."""
    size = int.from_bytes(file.read(8), "little")
    return file.read(8 + min(size, _MAX_HEAD))[8:].decode("utf-8", "replace")


def _in_head(file: OutgoingFile, private: Private) -> Iterator[tuple[str, str]]:
    """In binary metadata a home folder counts where something follows it: alone it can be a token of the vocabulary."""
    head = file.read(_MAX_HEAD).decode("latin-1")
    if _HUB_TOKEN.search(head) or any(secret in head for secret in private.secrets):
        yield " (its metadata)", "a token"
    if private.home and re.search(rf"{re.escape(private.home)}/[\w.-]", head):
        yield " (its metadata)", "the path of the home folder"
