"""Check of tool calls: each is of a tool that the row offers, and each result follows a call."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from data_prep.conversation import UnreadableRowError, content_text
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, row_evidence, share_of
from pipelines.preflight.checks.row_facts import conversation_of
from pipelines.records.finding import Finding, Severity

_MIN_SHARE = 0.01  # of the rows with calls
# Calls that are written as text: Hermes's and Qwen's, Mistral's, Llama 3's.
_SPELLED = re.compile(
    r"(?:<tool_call>|<function_call>|<functioncall>|\[TOOL_CALLS\]|<\|python_tag\|>)\s*\[?\s*\{[^{}]{0,40}?"
    r"\"name\"\s*:\s*\"([^\"\s]{1,80})\""
)
_SIGNS = ("<tool_call>", "<function", "[TOOL_CALLS]", "<|python_tag|>")
_NO_TOOLS, _OTHER_TOOL, _NO_CALL = "calls without a column tools", "calls to tools that are not offered", (
    "results without a call"
)  # fmt: skip


def tools_not_offered(context: CheckContext) -> Iterator[Finding]:
    """TOOLS_NOT_OFFERED: calls to tools of which the row's prompt says nothing, or results that follow no call.

    A tool may be described in the system text instead.
    """
    if context.stage is Stage.PRETRAIN:
        return
    using = [row for row in context.train.rows if row.messages and _uses_tools(row)]
    faults = {row.number: fault for row in using if (fault := _fault(context, row)) is not None}
    if len(faults) < max(1.0, _MIN_SHARE * len(using)):
        return
    kinds = Counter(kind for kind, _ in faults.values())
    names = list(dict.fromkeys(name for _, name in faults.values() if name))
    yield Finding(
        "TOOLS_NOT_OFFERED",
        Severity.WARNING,
        summary=f"{share_of(len(faults), len(using))} rows with tools have "
        + ", ".join(f"{kind} ({n} rows)" for kind, n in kinds.most_common())
        + (f": {', '.join(names[:5])}" if names else ""),
        why="the model learns to call tools that nobody offers it, with arguments that it makes up",
        remedy="give each row a column tools with the JSON schemas of the functions that it calls, or remove the rows",
        evidence=row_evidence(
            (row for row in using if row.number in faults),
            lambda row: " ".join(filter(None, [*faults[row.number], "|", row.asked])),
        ),
        n_rows=len(faults),
    )


def _uses_tools(row: SampledRow) -> bool:
    if any(message["role"] == "tool" or message.get("tool_calls") for message in row.messages):
        return True
    return any(sign in answer for answer in row.answers for sign in _SIGNS)


def _fault(context: CheckContext, row: SampledRow) -> tuple[str, str] | None:
    """What is wrong with the row's calls, and the tool's name."""
    try:
        offered = conversation_of(context, row).tools
    except UnreadableRowError:
        return None  # dropped, with its own reason
    names = {_name(tool) for tool in offered or ()}
    said = ""  # by others than the assistant: a prompt may describe the tools in its own words
    called = False
    for message in row.messages:
        if message["role"] == "tool" and not called:
            return _NO_CALL, str(message.get("name") or "")
        for name in _called(message):
            called = True
            if name not in names and name not in said:
                return (_OTHER_TOOL if offered else _NO_TOOLS), name
        if message["role"] != "assistant":
            said += f" {content_text(message)}"
    return None


def _called(message: Mapping[str, Any]) -> list[str]:
    """The names of the functions that a message calls."""
    if message["role"] != "assistant":
        return []
    structured = [str(call["function"]["name"]) for call in message.get("tool_calls") or ()]
    text = content_text(message)
    return structured + (_SPELLED.findall(text) if any(sign in text for sign in _SIGNS) else [])


def _name(tool: Any) -> str:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else {}
    return str(function.get("name"))


CHECKS: tuple[Check, ...] = (tools_not_offered,)
