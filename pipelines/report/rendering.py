"""Jinja for every page: autoescape on, and no printed text that hides or reorders other text."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from pipelines.files.visible_text import fenced, first_upper, listed, markdown_code, markdown_text, visible

_TEMPLATES = Path(__file__).parent / "templates"


def environment_with(filters: Mapping[str, Callable[..., Any]]) -> Environment:
    """The templates with Jinja's filters, the common ones and `filters`."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # names, paths and labels too: nothing printed can reorder or break the page; what a macro returns has been here
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    environment.filters |= {
        "fenced": fenced,
        "first_upper": first_upper,
        "listed": listed,
        "md": markdown_text,
        "md_code": markdown_code,
        "plain": lambda words: "".join(text for text, _ in words),
        **filters,
    }
    return environment


def page_parts(*stylesheets: str) -> dict[str, str]:
    """Style, script, and the hash by which the page's policy (CSP) knows that script."""
    script = _template("report.js")
    return {
        "style": Markup("\n".join(_template(name) for name in stylesheets)),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
