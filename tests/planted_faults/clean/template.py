"""Templates and tokens that look like a fault and are none."""

from pathlib import Path

import torch

from tests.planted_faults.clean.clean_pair import CleanPair
from tests.planted_faults.families import Family
from tests.planted_faults.faults.model import as_instruct_model
from tests.planted_faults.faults.template import change_rows, function_bodies, hermes_tool_calls, with_thought
from tests.planted_faults.pair import Pair, template_text
from tests.planted_faults.sample_rows import Row, as_messages, code_rows, rows_in, tool_conversations, with_system_turns


def _with_reserved_rows_of_zero(base: Path) -> None:
    """As Llama 3's base has them: no template, and rows that the run trains as those of new tokens."""

    def change(weight: torch.Tensor, ids: list[int]) -> None:
        weight[ids] = 0

    change_rows(base, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), change)


def reserved_tokens_of_llama3() -> Pair:
    return Pair(rows_in("english"), change_base=_with_reserved_rows_of_zero)


def instruct_model_in_its_own_template() -> Pair:
    rows = [{"messages": as_messages(row)} for row in rows_in("english")]
    return Pair(rows, change_base=as_instruct_model, base_name="Qwen2.5-0.5B-Instruct")


def trimmed_blank_lines() -> Pair:
    """Llama 3's own template trims answers: of blank lines, a single space and code at the margin nothing is lost."""
    leads = ("\n", " ", "\n\n", "")
    rows = [{**row, "output": leads[n % 4] + row["output"] + "\n"} for n, row in enumerate(rows_in("english"))]
    return Pair([*rows, *code_rows(max_characters=500)])


def function_bodies_that_keep_their_indentation() -> Pair:
    return Pair(function_bodies())


def thoughts_dropped_from_earlier_turns() -> Pair:
    """As the templates of reasoning models do, and the run makes an example of each turn."""
    rows = [as_messages(with_thought(row)) for row in rows_in("english")]
    chats = [{"messages": [*one, *other]} for one, other in zip(rows[::2], rows[1::2], strict=True)]
    return Pair(chats, template=template_text("fidelity/r1_style"))


def thoughts_where_the_request_asks_for_them() -> Pair:
    """As SmolLM3 and Qwen3 are trained."""

    def switched(row: Row) -> Row:
        return {**row, "instruction": f"{row['instruction']} /no_think"}

    return Pair([with_thought(row) if n % 3 else switched(row) for n, row in enumerate(rows_in("english"))])


def thoughts_under_a_system_text() -> Pair:
    reasoner = "Reason step by step between <think> and </think>, then answer."
    rows = enumerate(rows_in("english"))
    chats = [as_messages(with_thought(row), reasoner) if n % 2 else as_messages(row) for n, row in rows]
    return Pair([{"messages": messages} for messages in chats])


def default_system_text() -> Pair:
    """As Qwen2.5's template writes it, for the rows without a system turn."""
    rows = [
        *with_system_turns(rows_in("english")[:60]),
        *({"messages": as_messages(r)} for r in rows_in("english")[60:]),
    ]
    return Pair(rows, template=template_text("fidelity/chatml_with_default_system"))


def calls_in_some_rows() -> Pair:
    """Tools are offered in all rows and called in some."""
    tools = tool_conversations()[0]["tools"]
    others = [{"messages": as_messages(row), "tools": tools} for row in rows_in("english")[:40]]
    return Pair([*tool_conversations(), *others])


def lines_of_a_sketch() -> Pair:
    """Speakers before each line, which are no roles of a chat, and lists that begin with a word and a colon."""
    rows = [as_messages(row) for row in rows_in("english")]
    names = (("Guest", "Waiter"), ("Nora", "Model number"), ("Question", "Answer"))
    return Pair(
        [
            {
                "messages": [
                    {**turn, "content": f"{name}: {turn['content']}"}
                    for turn, name in zip(chat, names[n % 3], strict=True)
                ]
            }
            for n, chat in enumerate(rows)
        ]
    )


CLEAN_PAIRS = (
    CleanPair("lines of a sketch", Family.LLAMA3, lines_of_a_sketch),
    CleanPair("blank lines that a template trims", Family.LLAMA3, trimmed_blank_lines),
    CleanPair("bodies of functions", Family.OWN, function_bodies_that_keep_their_indentation),
    CleanPair("thoughts dropped from earlier turns", Family.CHATML, thoughts_dropped_from_earlier_turns),
    CleanPair("thoughts but for /no_think", Family.GPT2, thoughts_where_the_request_asks_for_them),
    CleanPair("thoughts under a system text", Family.LLAMA3, thoughts_under_a_system_text),
    CleanPair("a default system text", Family.CHATML, default_system_text),
    CleanPair("tools in the system text, calls as text", Family.OWN, lambda: Pair(hermes_tool_calls())),
    CleanPair("tools that some rows call", Family.CHATML, calls_in_some_rows),
    CleanPair("reserved tokens that were never trained", Family.LLAMA3, reserved_tokens_of_llama3),
    CleanPair("an instruct model in its own template", Family.CHATML, instruct_model_in_its_own_template),
)
