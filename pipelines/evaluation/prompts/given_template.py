"""Chat templates in evaluation: the one of --chat_template, and what a template loses of conversations."""

import copy
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.conversation import Conversation, PlainText
from pipelines.errors import UserError
from pipelines.files import read_json, read_text, sha256_of_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from pipelines.inference.served_model import ServedModel
    from pipelines.modeling import LoadedModel

_JSON_FILES = ("chat_template.json", "tokenizer_config.json")


@dataclass(frozen=True)
class GivenTemplate:
    """The text of a template that replaces the tokenizer's own, and the name of its file or folder."""

    name: str
    text: str

    @classmethod
    def read(cls, path: str | None) -> "GivenTemplate | None":
        """Read the template of a .jinja file or of a tokenizer's folder, None for no path. Raises `UserError` if there
        is none."""
        if path is None:
            return None
        place = Path(path)
        files = [place] if place.is_file() else [place / name for name in ("chat_template.jinja", *_JSON_FILES)]
        text = next((text for file in files if file.is_file() and (text := _template_in(file))), None)
        if text is None:
            problem = "has no chat template" if place.exists() else "does not exist"
            raise UserError(f"--chat_template {path} {problem}", "give a .jinja file, or a tokenizer's folder with one")
        return cls(place.name, text)

    def on_tokenizer(self, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
        """A copy of `tokenizer` with this template."""
        changed = copy.deepcopy(tokenizer)
        changed.chat_template = self.text
        return changed

    def on(self, loaded: "LoadedModel") -> "LoadedModel":
        """The model with this template."""
        return replace(loaded, tokenizer=self.on_tokenizer(loaded.tokenizer))

    def to_json(self) -> dict[str, Any]:
        """`chat_template` in the records."""
        return {"name": self.name, "sha256": sha256_of_text(self.text)}


def template_losses(
    loaded: "LoadedModel | ServedModel", asked: Sequence[str | Conversation | PlainText]
) -> dict[str, int]:
    """Count the conversations of which the model's template loses something, by reason; also prints them to stderr.
    Training drops such rows, so the model has not seen what is measured here. Single requests lose nothing."""
    from pipelines.inference.processes import is_main_process
    from pipelines.modeling import lost_in_template

    contexts = [one for one in asked if isinstance(one, Conversation) and len(one.messages) + bool(one.tools) > 1]
    reasons = Counter(reason for one in contexts if (reason := lost_in_template(loaded.tokenizer, one)))
    for reason, n in reasons.items() if is_main_process() else ():
        print(f"{loaded.name}: the chat template loses part of {n} of {len(asked)} prompts: {reason}", file=sys.stderr)
    return dict(reasons)


def _template_in(file: Path) -> str | None:
    """The text of a template file; of a JSON file its `chat_template`, of several named ones the default."""
    if file.suffix != ".json":
        return read_text(file) or None
    content = read_json(file)
    found = content.get("chat_template") if isinstance(content, dict) else None
    if isinstance(found, list):
        found = next((one.get("template") for one in found if one.get("name") == "default"), None)
    return found if isinstance(found, str) and found else None
