"""A chat template that a user gives with --chat_template, in place of the one that a model's tokenizer has."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import UserError
from pipelines.files import read_json, read_text, sha256_of_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from pipelines.modeling import LoadedModel


@dataclass(frozen=True)
class GivenTemplate:
    """The template's text, and the name of its file or folder."""

    name: str
    text: str

    @classmethod
    def read(cls, path: str | None) -> "GivenTemplate | None":
        """The template of a .jinja file or of a tokenizer's folder, None for no path.

        Raises `UserError` if there is none.
        """
        if path is None:
            return None
        place = Path(path)
        files = [place] if place.is_file() else [place / name for name in ("chat_template.jinja", *_JSON_FILES)]
        text = next((text for file in files if file.is_file() and (text := _template_in(file))), None)
        if text is None:
            raise UserError(
                expected=f"a chat template at {path}: a .jinja file, or a tokenizer's folder with a template",
                got="none" if place.exists() else "nothing there",
                remedy="check --chat_template",
            )
        return cls(place.name, text)

    def on_tokenizer(self, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
        """A copy of `tokenizer` with this template."""
        changed = copy.deepcopy(tokenizer)
        changed.chat_template = self.text
        return changed

    def on(self, loaded: "LoadedModel") -> "LoadedModel":
        """The model behind this template."""
        return replace(loaded, tokenizer=self.on_tokenizer(loaded.tokenizer))

    def to_json(self) -> dict[str, Any]:
        """`chat_template` in the records."""
        return {"name": self.name, "sha256": sha256_of_text(self.text)}


_JSON_FILES = ("chat_template.json", "tokenizer_config.json")


def _template_in(file: Path) -> str | None:
    """The text of a template file; of a JSON file its `chat_template`, of several named ones the default."""
    if file.suffix != ".json":
        return read_text(file) or None
    content = read_json(file)
    found = content.get("chat_template") if isinstance(content, dict) else None
    if isinstance(found, list):
        found = next((one.get("template") for one in found if one.get("name") == "default"), None)
    return found if isinstance(found, str) and found else None
