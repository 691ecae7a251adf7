"""The planted faults, in tables/*.yaml; a pair that is more than other keys is a function of a module here.

An entry has the id of the finding that must report the fault, the fault in words, the family of its base and the
severity. Its pair: `keys` of the recipe and a `template` of templates/ over `rows` (English ones unless named), or
`pair`, a function of a module here. `also` are findings that the fault entails, each with the reason.

`cure` is a function of a module here, (pair, finding) -> pair, that does what the words of the finding's remedy say; a
remedy that writes `key: value` needs none. `cure_cannot` is why no change of the pair does it.

For the comparison with `trl sft`: `trl_says` matches the lines of its output that name this fault, `trl_cannot` is
why it cannot be given the pair.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import yaml

from pipelines.records.finding import Severity
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair, template_text
from tests.planted_faults.remedies import Cure
from tests.planted_faults.sample_rows import Row, conversations, rows_in, tool_conversations, with_system_turns


@dataclass(frozen=True)
class PlantedFault:
    """One fault in a pair that is clean otherwise, and the finding that must report it; see above."""

    id: str
    name: str
    family: Family
    severity: Severity
    pair: Callable[[], Pair]
    also: Mapping[str, str] = field(default_factory=dict)
    trl_says: str | None = None
    trl_cannot: str | None = None
    cure: Cure | None = None
    cure_cannot: str | None = None


_ROWS: dict[str, Callable[[], list[Row]]] = {
    "english": lambda: rows_in("english"),
    "system turns": lambda: with_system_turns(rows_in("english")),
    "chats": lambda: conversations(rows_in("english"), 3),
    "tool calls": tool_conversations,
}


def _pair(rows: str = "english", template: str | None = None, **parts: Any) -> Pair:
    return Pair(_ROWS[rows](), template=template and template_text(template), **parts)


def _fault(family: str, severity: str, pair: str | None = None, **facts: Any) -> PlantedFault:
    parts = {key: facts.pop(key) for key in ("rows", "template", "keys", "folder_share") if key in facts}
    made: Callable[[], Pair] = partial(_pair, **parts)
    if pair is not None:
        made = _function(pair)
    if "cure" in facts:
        facts["cure"] = _function(facts["cure"])
    return PlantedFault(family=Family(family), severity=Severity(severity), pair=made, **facts)


def _function(name: str) -> Callable[..., Any]:
    """The function `module.function` of a module here."""
    module, _, function = name.partition(".")
    return cast(Callable[..., Any], getattr(importlib.import_module(f"{__name__}.{module}"), function))


_TABLES = sorted((Path(__file__).parents[1] / "tables").glob("*.yaml"))
FAULTS = tuple(_fault(**facts) for table in _TABLES for facts in yaml.safe_load(table.read_text(encoding="utf-8")))
