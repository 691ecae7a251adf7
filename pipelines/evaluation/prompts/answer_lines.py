"""The output of generate.py: a prompt with its answers, as a record and as text."""

from collections.abc import Sequence
from typing import Any

from data_prep.conversation import Message, content_text
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.inference.generation import Answer, TokenChoice
from pipelines.modeling import PromptStyle


def answer_line(
    prompt: Prompt,
    style: PromptStyle,
    n_prompt_tokens: int,
    answers: Sequence[Answer],
    choices: Sequence[Sequence[TokenChoice]] | None = None,
) -> dict[str, Any]:
    """One line of the output file; `choices` are the tokens of each answer."""
    line: dict[str, Any] = {
        "instruction": prompt.instruction,
        "input": prompt.input,
        "messages": prompt.messages,
        "prompt_style": style.value,
        "n_prompt_tokens": n_prompt_tokens,
        "answers": [{"text": one.text, "n_tokens": one.n_tokens, "stopped": one.stopped} for one in answers],
    }
    for entry, own in zip(line["answers"], choices or (), strict=False):
        entry["tokens"] = [choice.to_json() for choice in own]
    return line


def shown_line(line: dict[str, Any]) -> str:
    """The line as text: the request, or each message of a conversation, then the answers."""
    asked = line["instruction"] + (f"\n{line['input']}" if line["input"] else "")
    messages: list[Message] = line["messages"] or []
    if len(messages) > 1:
        asked = "\n=== ".join(f"{one['role']}: {content_text(one)}" for one in messages)
    shown = [f"=== {asked}"]
    for number, answer in enumerate(line["answers"], start=1):
        end = "stopped on its own" if answer["stopped"] else "cut off at the token limit"
        if answer["n_tokens"] == 0 and not answer["stopped"]:
            end = f"no room after a prompt of {line['n_prompt_tokens']} tokens"
        n_answers = len(line["answers"])
        shown.append(f"--- answer {number} of {n_answers}: {answer['n_tokens']} tokens, {end}\n{answer['text']}")
        for choice in answer.get("tokens", ()):
            rivals = "  ".join(f"{one['token']!r} {one['probability']:.4f}" for one in choice["alternatives"])
            shown.append(f"{choice['probability']:7.4f}  {choice['token']!r:<16} | {rivals}")
    return "\n".join(shown) + "\n"
