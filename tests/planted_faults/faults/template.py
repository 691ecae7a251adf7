"""Faults of the chat template: what it loses, writes twice or never had trained."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from trl.chat_template_utils import llama3_training_chat_template

from pipelines.records.finding import Finding
from tests.planted_faults.pair import Pair, template_text
from tests.planted_faults.sample_rows import Row, as_messages, code_rows, rows_in, tool_conversations


def change_rows(base: Path, tokens: Sequence[str], change: Callable[[torch.Tensor, list[int]], None]) -> None:
    """Apply `change` to the embeddings and to the head of `base`, and to the ids of `tokens`."""
    added = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}
    weights = load_file(base / "model.safetensors")
    for name, weight in weights.items():
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            change(weight, [ids[token] for token in tokens])
    save_file(weights, base / "model.safetensors", {"format": "pt"})


def _as_the_mean(weight: torch.Tensor, ids: list[int]) -> None:
    weight[ids] = weight.mean(0)


def _all_equal(weight: torch.Tensor, ids: list[int]) -> None:
    weight[ids] = weight[ids[0]].clone()


def marks_of_the_mean_row() -> Pair:
    """What resizing the embeddings gives, in a base that nobody trained with them."""
    return Pair(
        rows_in("english"), change_base=lambda base: change_rows(base, ("<|im_start|>", "<|im_end|>"), _as_the_mean)
    )


def reserved_rows_that_are_equal() -> Pair:
    def change(base: Path) -> None:
        (base / "chat_template.jinja").write_text(llama3_training_chat_template, encoding="utf-8")
        change_rows(base, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), _all_equal)

    return Pair(rows_in("english"), change_base=change)


def function_bodies() -> list[Row]:
    """Heads of functions of the standard library, to be continued with their bodies, which are indented."""
    rows = []
    for row in code_rows(max_characters=600):
        head, _, body = row["output"].partition(":\n")
        if body.startswith("    "):
            rows.append({"instruction": f"Complete this function.\n\n{head}:\n", "output": body})
    return rows


def trimmed_function_bodies() -> Pair:
    return Pair(function_bodies(), template=template_text("fidelity/chatml_that_trims"))


def some_indented_answers() -> Pair:
    """The template is the one that a Llama 3 base gets, and it trims."""
    return Pair([*rows_in("english"), *function_bodies()[:12]])


def code_on_one_line() -> Pair:
    return Pair(code_rows(max_characters=600), template=template_text("fidelity/own_on_one_line"))


def system_text_in_requests() -> Pair:
    system = "You are an assistant who answers in one or two plain sentences."
    rows = [{**row, "instruction": f"{system}\n\n{row['instruction']}"} for row in rows_in("english")]
    return Pair([{"messages": as_messages(row, system)} for row in rows])


def _thought_about(row: Row) -> str:
    about = " ".join(row["instruction"].split()[-3:])
    return f"This is about {about} I recall what matters here, then write it down in plain words."


def with_thought(row: Row) -> Row:
    """The row with a thought before its answer."""
    return {**row, "output": f"<think>\n{_thought_about(row)}\n</think>\n\n{row['output']}"}


def thoughts_in_half_of_the_rows() -> Pair:
    rows = rows_in("english")
    return Pair([with_thought(row) if n % 2 else row for n, row in enumerate(rows)])


def a_few_rows_without_thoughts() -> Pair:
    rows = [as_messages(row) for row in rows_in("english")]
    for n, messages in enumerate(rows):
        if n % 16:
            messages[-1]["reasoning_content"] = _thought_about({"instruction": messages[0]["content"]})
    return Pair([{"messages": messages} for messages in rows], template=template_text("fidelity/own_with_thoughts"))


def thoughts_that_were_cut() -> Pair:
    rows = [with_thought(row) for row in rows_in("english")]
    cut = [{**row, "output": row["output"][: 40 + len(row["output"]) % 40]} for row in rows[::4]]
    return Pair([row for n, row in enumerate(rows) if n % 4] + cut)


def calls_without_tools() -> Pair:
    return Pair([{"messages": row["messages"]} for row in tool_conversations()])


def hermes_tool_calls(old_name: str | None = None) -> list[Row]:
    """Tools in the system text and calls as text; with `old_name` every second row calls the function under it."""
    rows = []
    for n, row in enumerate(tool_conversations()):
        asked, call, result, answer = row["messages"]
        function = call["tool_calls"][0]["function"] | ({"name": old_name} if old_name and n % 2 else {})
        text = f"<tool_call>\n{json.dumps(function)}\n</tool_call>"
        system = f"You may call these functions:\n<tools>\n{json.dumps(row['tools'][0])}\n</tools>"
        said = f"<tool_response>\n{result['content']}\n</tool_response>"
        rows.append({"messages": [{"role": "system", "content": system}, asked, {"role": "assistant", "content": text},
                                  {"role": "user", "content": said}, answer]})  # fmt: skip
    return rows


def calls_as_text() -> Pair:
    return Pair(hermes_tool_calls("weather_lookup"))


def with_own_template_that_keeps_answers(pair: Pair, _: Finding) -> Pair:
    return replace(pair, template=llama3_training_chat_template.replace(" | trim", ""))


def without_system_in_requests(pair: Pair, _: Finding) -> Pair:
    def asked_once(messages: list[Row]) -> list[Row]:
        system, asked, answer = messages
        return [system, {**asked, "content": asked["content"].partition("\n\n")[2]}, answer]

    return replace(pair, rows=[{"messages": asked_once(row["messages"])} for row in pair.rows])


def with_thoughts_alone(pair: Pair, _: Finding) -> Pair:
    rows = [row for row in pair.rows if "<think>" in str(row) or "reasoning_content" in str(row)]
    return replace(pair, rows=rows)


def without_cut_thoughts(pair: Pair, _: Finding) -> Pair:
    return replace(pair, rows=[row for row in pair.rows if "</think>" in row["output"]])


def with_tools(pair: Pair, _: Finding) -> Pair:
    return replace(pair, rows=tool_conversations())


def without_calls_of_the_old_tool(pair: Pair, _: Finding) -> Pair:
    return replace(pair, rows=[row for row in pair.rows if "weather_lookup" not in str(row)])


def roles_as_text() -> Pair:
    """A transcript that was cut into messages with its names."""
    names = {"user": "User: ", "assistant": "Assistant: "}
    rows = [as_messages(row) for row in rows_in("english")]
    return Pair(
        [{"messages": [{**one, "content": names[one["role"]] + one["content"]} for one in chat]} for chat in rows]
    )


def decoded_headers() -> Pair:
    """What decoding without special tokens leaves of Llama 3's header."""
    rows = enumerate(rows_in("english"))
    return Pair([{**row, "output": f"assistant\n\n{row['output']}"} if n % 2 else row for n, row in rows])


def without_roles_as_text(pair: Pair, _: Finding) -> Pair:
    return replace(pair, rows=rows_in("english"))
