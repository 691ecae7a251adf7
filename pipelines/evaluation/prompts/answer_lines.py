"""The output of generate.py: prompts with their answers, as records and as text."""

from collections.abc import Sequence
from typing import Any

from data_prep.conversation import Message, content_text
from pipelines.evaluation.prompts.given_template import template_losses
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.inference.answer_store import AnswerStore
from pipelines.inference.generation import Answer, SamplingPolicy, TokenChoice, generate_answers, token_choices_of
from pipelines.inference.processes import is_main_process, log
from pipelines.inference.served_model import ServedModel
from pipelines.modeling import LoadedModel, PromptStyle, render_prompt


def answer_lines(
    loaded: LoadedModel | ServedModel,
    prompts: Sequence[Prompt],
    policy: SamplingPolicy,
    *,
    plain: bool,
    batch_size: int,
    show_probabilities: bool,
    store: AnswerStore | None,
) -> list[dict[str, Any]]:
    """Answer the prompts, in the model's chat template unless `plain` or without one. All processes must call this;
    others than the main one get no lines."""
    style = PromptStyle.RAW if plain or not loaded.has_chat_template else PromptStyle.CHAT
    asked = [one.asked for one in prompts]
    if not (plain or loaded.has_chat_template):
        log("the model has no chat template, so it continues the prompts as they are")
    if style is PromptStyle.CHAT:
        template_losses(loaded, asked)
    rendered = [render_prompt(loaded.tokenizer, one, style) for one in asked]
    choices: list[list[list[TokenChoice]] | None] = [None for _ in prompts]
    if isinstance(loaded, ServedModel):
        n_shown = len(prompts) if show_probabilities else 0
        answers, found = loaded.answers(asked, style, policy, store=store, n_shown=n_shown)
        if found:
            choices = [[found.get((place, n), []) for n in range(len(own))] for place, own in enumerate(answers)]
    else:
        answers = generate_answers(loaded, rendered, policy, batch_size=batch_size, store=store)
        if show_probabilities and is_main_process():
            pairs = zip(rendered, answers, strict=True)
            choices = [token_choices_of(loaded, [token_ids] * len(own), own) for token_ids, own in pairs]
    if not is_main_process():
        return []
    engine = {"engine": loaded.engine} if isinstance(loaded, ServedModel) else {}
    return [
        answer_line(prompt, style if prompt.messages is not None else PromptStyle.RAW, len(token_ids), own, of) | engine
        for prompt, token_ids, own, of in zip(prompts, rendered, answers, choices, strict=True)
    ]


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
