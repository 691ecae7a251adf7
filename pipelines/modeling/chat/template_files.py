"""The files of a saved tokenizer that hold its chat template: chat_template.jinja, and tokenizer_config.json."""

from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json

TOKENIZER_CONFIG = "tokenizer_config.json"
_TEMPLATE = "chat_template.jinja"


def refuse_two_templates(folder: Path) -> None:
    """Raise `UserError` if `folder` has two different chat templates: transformers reads the file, llama.cpp's
    converter and transformers.js read tokenizer_config.json."""
    path = folder / TOKENIZER_CONFIG
    beside = template_in_files(folder)
    inside = read_json(path).get("chat_template") if beside is not None and path.is_file() else None
    if inside is not None and _lines(inside) != _lines(beside):
        problem = f"the chat template in {path} is not the one in {folder / _TEMPLATE}, and engines read either"
        raise UserError(problem, "delete the outdated one (transformers reads chat_template.jinja)")


def template_in_files(folder: Path) -> str | list[dict[str, str]] | None:
    """The template, or the named ones, that transformers reads from files of their own; None without any."""
    if not (folder / _TEMPLATE).is_file():
        return None
    default = (folder / _TEMPLATE).read_text(encoding="utf-8")
    more = {one.stem: one.read_text(encoding="utf-8") for one in folder.glob("additional_chat_templates/*.jinja")}
    if not more:
        return default
    named = {"default": default, **dict(sorted(more.items()))}
    return [{"name": name, "template": text} for name, text in named.items()]


def _lines(template: Any) -> Any:
    """The template, or the named ones, without differences that reading a file makes."""
    if isinstance(template, list):
        return {one["name"]: _lines(one["template"]) for one in template}
    return template.splitlines() if isinstance(template, str) else template
