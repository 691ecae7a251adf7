"""What every template engine gets and returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class TemplateInput:
    """What a template reads: messages in the form of transformers, tools, and the row's template arguments."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Any] | None
    arguments: Mapping[str, Any]
    special_tokens: Mapping[str, str]

    def variables(self) -> dict[str, Any]:
        """The template's variables, as transformers names them."""
        return {
            **self.special_tokens, "messages": list(self.messages), "tools": self.tools and list(self.tools),
            "add_generation_prompt": True, **self.arguments,
        }  # fmt: skip


@dataclass(frozen=True)
class Rendered:
    """The text that an engine makes of one input, or None and the reason."""

    text: str | None
    error: str = ""


class TemplateEngine(Protocol):
    """One engine, set up as the servers in its name do."""

    name: str
    how_to_install: str

    def version(self) -> str | None:
        """The installed version, None if the engine is not installed."""

    def render(self, template: str, inputs: Sequence[TemplateInput]) -> list[Rendered]:
        """Render each of `inputs`."""
