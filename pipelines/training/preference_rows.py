"""Rows of a preference set, in the formats that are in use, as one: a prompt and the two turns that may follow it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from trl import DPOConfig

from data_prep.conversation import Conversation, RowFormat, UnreadableRowError, content_text, read_row
from pipelines.errors import UserError
from pipelines.recipe import LongRowPolicy, PreferenceArguments
from pipelines.training.rows import recipe_rows

Message = dict[str, Any]

EQUAL_ANSWERS = "chosen_equals_rejected"  # the ledger's reason, and the one that data_prep rejects such a row with
_PROMPTS = ("instruction", "prompt", "question", "conversations", "messages")
_FORMATS = (
    "instruction + input + chosen + rejected, prompt + chosen + rejected (texts or messages), "
    "conversations + chosen + rejected, or chosen + rejected as whole conversations"
)


@dataclass(frozen=True)
class Preference:
    """`chosen` and `rejected` are assistant turns that answer the messages of `prompt`."""

    prompt: list[Message]
    chosen: Message
    rejected: Message
    tools: list[Any] | None
    template_arguments: dict[str, Any]


def refuse_other_columns(rows: Dataset, name: str) -> None:
    """Raise `UserError`, with the columns found and the formats known, if `rows` are no preferences."""
    columns = rows.column_names
    has_prompt = any(column in columns for column in _PROMPTS)
    if {"chosen", "rejected"} <= set(columns) and (has_prompt or not len(rows) or isinstance(rows[0]["chosen"], list)):
        return
    raise UserError(
        expected=f"columns of a known preference format in {name}: {_FORMATS}",
        got=", ".join(columns),
        remedy="map them with data_prep/build_preferences.py --column_map instruction=...,chosen=...,rejected=...",
    )


def read_preference(row: Mapping[str, Any]) -> Preference:
    """`row` in one of the known formats. Raises `UnreadableRowError`, whose message is a reason for the ledger."""
    before = _prompt_of(row)
    chosen, rejected = (_read(_as_messages(row[column], "assistant"), row) for column in ("chosen", "rejected"))
    if chosen.messages == rejected.messages:
        raise UnreadableRowError(EQUAL_ANSWERS)
    if before is None or chosen.messages[0]["role"] != "assistant":
        # whole conversations: the prompt is what they share
        n_shared = _n_equal(chosen.messages, rejected.messages)
        prompt, better, worse = chosen.messages[:n_shared], chosen.messages[n_shared:], rejected.messages[n_shared:]
    else:
        prompt, better, worse = _read(before, row).messages, chosen.messages, rejected.messages
    if not any(_text(message) for message in prompt if message["role"] != "system"):
        raise UnreadableRowError("empty_prompt")
    for name, turns in (("chosen", better), ("rejected", worse)):
        if [turn["role"] for turn in turns] != ["assistant"]:
            raise UnreadableRowError(f"{name}_is_not_one_turn")
        if not _text(turns[0]) and not turns[0].get("tool_calls"):
            raise UnreadableRowError(f"empty_{name}")
    if _said(better[0]) == _said(worse[0]):
        raise UnreadableRowError(EQUAL_ANSWERS)
    return Preference(prompt, better[0], worse[0], chosen.tools, chosen.template_arguments)


def _prompt_of(row: Mapping[str, Any]) -> list[Message] | None:
    column = next((name for name in _PROMPTS if row.get(name) is not None), None)
    if column is None:
        return None
    system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    given = row.get("input") if isinstance(row[column], str) else None
    asked = f"{row[column]}\n\n{given}" if given else row[column]
    return [*system, *_as_messages(asked, "user")]


def _as_messages(value: Any, speaker: str) -> list[Message]:
    """Messages out of a text, a message with or without its role, or a list of them."""
    if value is None:
        raise UnreadableRowError("no_messages")
    listed: Sequence[Any] = value if isinstance(value, list) else [value]
    return [
        one if isinstance(one, Mapping) and (one.get("role") or one.get("from"))  # type: ignore[misc]
        else {**(one if isinstance(one, Mapping) else {"content": one}), "role": speaker}
        for one in listed
    ]  # fmt: skip


def _read(messages: list[Message], row: Mapping[str, Any]) -> Conversation:
    extras = {key: row.get(key) for key in ("tools", "chat_template_kwargs")}
    conversation = read_row({**extras, "messages": messages}, RowFormat.MESSAGES)
    assert isinstance(conversation, Conversation)  # the format of messages has no plain text
    return conversation


def _n_equal(first: list[Message], second: list[Message]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))


def _text(message: Message) -> str:
    return content_text(message).strip()


def _said(message: Message) -> Message:
    return {**message, "content": _text(message)}


def preference_set(arguments: PreferenceArguments, training: DPOConfig) -> tuple[Dataset, Dataset | None]:
    """The rows that a recipe trains on, and those it holds out. Raises `UserError` for a policy or columns that do not
    fit preferences, and as `recipe_rows`."""
    refuse_splitting(arguments.long_rows)
    train, held_out = recipe_rows(arguments, training.seed, evaluates=training.eval_strategy != "no")
    for rows in filter(None, (train, held_out)):
        refuse_other_columns(rows, arguments.dataset_name or "datasets")
    return train, held_out


def refuse_splitting(long_rows: LongRowPolicy) -> None:
    """Raise `UserError` for `split`: half an answer cannot be preferred to half of another."""
    if long_rows is LongRowPolicy.SPLIT:
        raise UserError(
            expected="long_rows to be drop, truncate_prompt, keep_end_token or error for pairs",
            got="split",
            remedy="choose one of them",
        )
