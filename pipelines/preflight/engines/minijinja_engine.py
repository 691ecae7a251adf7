"""minijinja, the engine of servers written in Rust, in its two usual settings."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import metadata
from typing import Any

from pipelines.preflight.engines.template_engine import Rendered, TemplateInput

# minijinja knows no such blocks; both servers remove the marks in exactly this spelling.
_MARKS = ("{% generation %}", "{% endgeneration %}")


class Minijinja:
    """minijinja with Python's methods (pycompat), as those servers set it up that were read.

    With `trims` (mistral.rs, 2026): trim_blocks and lstrip_blocks as in transformers, and no variable `tools` without
    tools. Otherwise (TGI 3): neither, and `tools` is none. What a server adds to the variables (mistral.rs: the date,
    enable_thinking) is not compared.
    """

    how_to_install = "pip install 'base2instruct[engines]'"

    def __init__(self, *, trims: bool) -> None:
        self.name = "minijinja as in mistral.rs" if trims else "minijinja as in TGI"
        self._trims = trims

    def version(self) -> str | None:
        """The installed version of the package."""
        try:
            return metadata.version("minijinja")
        except metadata.PackageNotFoundError:
            return None

    def render(self, template: str, inputs: Sequence[TemplateInput]) -> list[Rendered]:
        """Render in this process."""
        from minijinja import Environment, TemplateError

        environment = Environment(
            trim_blocks=self._trims, lstrip_blocks=self._trims, pycompat=True,
            filters={"tojson": _tojson},
            globals={"raise_exception": _raise, "strftime_now": lambda form: datetime.now().strftime(form)},
        )  # fmt: skip
        for mark in _MARKS:
            template = template.replace(mark, "")
        try:
            environment.add_template("chat", template)
        except TemplateError as error:
            return [Rendered(None, _reason(error))] * len(inputs)
        return [_rendered(environment.render_template, self._variables(one), TemplateError) for one in inputs]

    def _variables(self, one: TemplateInput) -> dict[str, Any]:
        found = one.variables()
        if self._trims and not found["tools"]:
            del found["tools"]
        return found


def _tojson(value: Any, indent: int | None = None, **_others: Any) -> str:
    """JSON as these servers write it: without spaces, and with HTML's characters escaped. (The filter of minijinja 3
    writes spaces; the servers have minijinja 2, or a filter of their own.)"""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    return re.sub("[<>&']", lambda found: f"\\u{ord(found.group()):04x}", text)


def _rendered(render: Callable[..., str], variables: dict[str, Any], template_error: type[RuntimeError]) -> Rendered:
    try:
        return Rendered(render("chat", **variables))
    except (template_error, _RefusedError) as error:
        return Rendered(None, _reason(error))


class _RefusedError(Exception):
    """The template called `raise_exception`."""


def _raise(message: str) -> None:
    raise _RefusedError(message)


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
