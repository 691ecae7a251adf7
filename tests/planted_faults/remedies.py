"""The remedies of a finding, each as the changed pair that its words describe."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from pipelines.recipe.accepted_keys import accepted_keys
from pipelines.recipe.stages import ARGUMENTS, Stage
from pipelines.records.finding import Finding
from tests.planted_faults.pair import Pair

Cure = Callable[[Pair, Finding], Pair]

_VALUE = r"""\[[^\]]*\]|'[^']*'|"[^"]*"|[^\s,;()]+"""
_OR = re.compile(r"\bor\b|;")
_LIST = re.compile(r"\[[^\]]*\]")
_COMMAND = re.compile(r"`python [^`]*`|`\w+: [A-Z]+`")  # or a value that the reader must fill in


@dataclass(frozen=True)
class Remedied:
    """A pair after one of its finding's remedies, and that remedy in words."""

    words: str
    pair: Pair


def remedied_pairs(pair: Pair, finding: Finding, cure: Cure | None) -> Iterator[Remedied]:
    """The pair after each remedy: the finding's `fix`, each alternative `key: value` of its words, and `cure`."""
    written = written_alternatives(finding.remedy, pair.stage)
    for keys in [finding.fix, *(one for one in written if one != finding.fix)] if finding.fix else written:
        yield Remedied(str(keys), replace(pair, keys={**pair.keys, **keys}))
    if cure is not None:
        yield Remedied(finding.remedy, cure(pair, finding))


def written_alternatives(remedy: str, stage: Stage) -> list[Mapping[str, Any]]:
    """The recipe keys of each alternative of `remedy` ("set a: 1, b: 2, or remove c"), None for one to remove.

    None of them cures alone where the remedy has several steps ("remove these rows; and set a: 1").
    """
    if "; and " in remedy:
        return []
    remedy = _COMMAND.sub("", remedy)
    keys = sorted(accepted_keys(ARGUMENTS[stage]), key=len, reverse=True)
    named = f"(?P<key>{'|'.join(map(re.escape, keys))})"
    setting = re.compile(rf"(?<![\w.]){named}: (?P<value>{_VALUE})|\bremove {named.replace('key', 'gone')}\b")
    alternatives = [
        {m["key"] or m["gone"]: yaml.safe_load(m["value"]) if m["key"] else None for m in setting.finditer(part)}
        for part in _parts(remedy)
    ]
    return [one for one in alternatives if one]


def _parts(remedy: str) -> list[str]:
    """`remedy` split at its "or"s, except inside brackets."""
    hidden = _LIST.sub(lambda match: "x" * len(match.group()), remedy)
    cuts = [0, *(place for match in _OR.finditer(hidden) for place in match.span()), len(remedy)]
    return [remedy[begin:end] for begin, end in zip(cuts[::2], cuts[1::2], strict=True)]
