"""Calls to tools that a prompt does not describe, results without a call, and calls that are in order."""

import json
from functools import partial
from typing import Any

import pytest

from pipelines.preflight.checks.rows.tool_calls import CHECKS
from pipelines.records.finding import Severity
from tests.planted_faults.sample_rows import tool_conversations
from tests.preflight.contexts import context_of, findings_by_id

found = partial(findings_by_id, CHECKS)


def sharegpt(row: dict[str, Any], *, tools: bool) -> dict[str, Any]:
    names = {"user": "human", "assistant": "gpt", "tool": "observation"}
    turns = []
    for one in row["messages"]:
        calls = one.get("tool_calls")
        turns.append({"from": "function_call", "value": json.dumps(calls[0]["function"])} if calls else
                     {"from": names[one["role"]], "value": one["content"]})  # fmt: skip
    return {"conversations": turns} | ({"tools": json.dumps(row["tools"])} if tools else {})


def as_text(row: dict[str, Any], form: str, system: str | None) -> dict[str, Any]:
    asked, call, *_ = row["messages"]
    text = form.format(json.dumps(call["tool_calls"][0]["function"]))
    turns = [{"role": "system", "content": system}] if system else []
    return {"messages": [*turns, asked, {"role": "assistant", "content": text}]}


def test_calls_in_order_give_nothing(bases, tmp_path):
    rows = tool_conversations()
    assert found(context_of(tmp_path, bases["qwen"], rows)) == {}
    assert found(context_of(tmp_path, bases["qwen"], [sharegpt(row, tools=True) for row in rows])) == {}


def test_calls_whose_tools_were_lost_are_a_warning(bases, tmp_path):
    for rows in (
        [{"messages": row["messages"]} for row in tool_conversations()],
        [sharegpt(row, tools=False) for row in tool_conversations()],
    ):
        finding = found(context_of(tmp_path, bases["qwen"], rows))["TOOLS_NOT_OFFERED"]
        assert (finding.severity, finding.n_rows) == (Severity.WARNING, 20)
        assert "calls without a column tools (20 rows): get_weather" in finding.summary


def test_tools_of_another_name_are_found_where_only_few_rows_call_them(bases, tmp_path):
    rows = tool_conversations()
    for row in rows[:2]:
        row["tools"] = json.loads(json.dumps(row["tools"]).replace("get_weather", "weather_of"))
    finding = found(context_of(tmp_path, bases["qwen"], rows))["TOOLS_NOT_OFFERED"]
    assert (finding.n_rows, "calls to tools that are not offered (2 rows)" in finding.summary) == (2, True)


def test_a_system_text_may_describe_the_tools(bases, tmp_path):
    system = "Call get_weather with a city, as JSON."
    rows = [{"messages": [{"role": "system", "content": system}, *row["messages"]]} for row in tool_conversations()]
    assert found(context_of(tmp_path, bases["qwen"], rows)) == {}


@pytest.mark.parametrize(
    "form", ["<tool_call>\n{}\n</tool_call>", "[TOOL_CALLS] [{}]", "I look it up.\n<functioncall> {}"]
)
def test_calls_as_text_are_read(bases, tmp_path, form):
    rows = tool_conversations()
    told = [as_text(row, form, f"Tools: {json.dumps(row['tools'])}") for row in rows]
    assert found(context_of(tmp_path, bases["gpt2"], told)) == {}
    untold = [as_text(row, form, None) for row in rows]
    assert found(context_of(tmp_path, bases["gpt2"], untold))["TOOLS_NOT_OFFERED"].n_rows == 20


def test_a_result_without_a_call_is_found(bases, tmp_path):
    rows = tool_conversations()
    for row in rows[:5]:
        del row["messages"][1]
    finding = found(context_of(tmp_path, bases["qwen"], rows))["TOOLS_NOT_OFFERED"]
    assert (finding.n_rows, "results without a call (5 rows)" in finding.summary) == (5, True)
