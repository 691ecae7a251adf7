"""Cures: what the remedies in words say, done to the pair of the planted fault."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby
from typing import Any

from pipelines.records.finding import Finding
from tests.planted_faults.pair import Pair, Row
from tests.planted_faults.sample_rows import rows_in


def _with_rows(pair: Pair, rows: Iterable[Row]) -> Pair:
    return replace(pair, rows=list(rows))


def without_damaged_rows(pair: Pair, finding: Finding) -> Pair:
    """Without the rows that are not among the clean ones, which are as many as the finding says."""
    kept = [row for row in pair.rows if row in rows_in("english")]
    assert finding.n_rows == len(pair.rows) - len(kept)
    return _with_rows(pair, kept)


def built_again(pair: Pair, _: Finding) -> Pair:
    """The clean rows that the damaged ones were made of."""
    return _with_rows(pair, rows_in("english"))


def built_again_as_utf8(pair: Pair, _: Finding) -> Pair:
    return _with_rows(pair, [*rows_in("english"), *rows_in("german_french")])


def with_template_of_base(pair: Pair, _: Finding) -> Pair:
    """Another template: the base's own, or the default of the recipes."""
    return replace(pair, template=None)


def with_end_token_in_template(pair: Pair, _: Finding) -> Pair:
    return replace(pair, template=str(pair.template).replace("['content'] + '\\n\\n'", "['content'] + eos_token"))


def with_bos_in_template(pair: Pair, _: Finding) -> Pair:
    return replace(pair, template="{{- bos_token -}}" + str(pair.template))


def with_other_base(pair: Pair, _: Finding) -> Pair:
    """The base as its family has it."""
    return replace(pair, change_base=None, base_name="base")


def _in_every_text(change: Callable[[str], str]) -> Callable[[Pair, Finding], Pair]:
    def cure(pair: Pair, _: Finding) -> Pair:
        return _with_rows(pair, [{key: _changed(value, change) for key, value in row.items()} for row in pair.rows])

    return cure


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [{**message, "content": change(message["content"])} for message in value]
    return change(value)


without_bos_in_texts = _in_every_text(lambda text: text.removeprefix("<|begin_of_text|>"))
with_spaces_in_marks = _in_every_text(lambda text: text.replace("<|", "< |"))
without_next_turns = _in_every_text(lambda text: text.partition("\n\nHuman: ")[0])
without_empty_thoughts = _in_every_text(lambda text: text.removeprefix("<think>\n\n</think>\n\n"))


def with_the_right_key(pair: Pair, _: Finding) -> Pair:
    return replace(pair, keys={**pair.keys, "learnig_rate": None, "learning_rate": pair.keys["learnig_rate"]})


def without_held_out_rows(pair: Pair, _: Finding) -> Pair:
    """The training rows whose request is held out, removed; case, spaces and quotes do not count."""
    held_out = {_letters(row["instruction"]) for row in pair.held_out}
    return _with_rows(pair, [row for row in pair.rows if _letters(row["instruction"]) not in held_out])


def _letters(text: str) -> str:
    return "".join(one for one in text.lower() if one.isalnum())


def with_groups_together(pair: Pair, _: Finding) -> Pair:
    """Every fourth group held out as a whole."""
    groups = sorted({row["group"] for row in pair.rows})[::4]
    rows = [*pair.rows, *pair.held_out]
    kept, held_out = ([row for row in rows if (row["group"] in groups) is is_in] for is_in in (False, True))
    return replace(pair, rows=kept, held_out=held_out)


def without_copies(pair: Pair, _: Finding) -> Pair:
    rows = sorted(pair.rows, key=lambda row: str(row["instruction"]))
    return _with_rows(pair, [next(same) for _, same in groupby(rows)])


def with_fewer_rows_of_the_large_source(pair: Pair, _: Finding) -> Pair:
    few = [row for row in pair.rows if row["source"] == "forum"][:12]
    return _with_rows(pair, [*few, *(row for row in pair.rows if row["source"] != "forum")])


def with_context_as_input(pair: Pair, _: Finding) -> Pair:
    return _with_rows(pair, [{("input" if key == "context" else key): text for key, text in row.items()}
                             for row in pair.rows])  # fmt: skip


def with_columns_swapped(pair: Pair, _: Finding) -> Pair:
    return _with_rows(pair, [{"instruction": row["output"], "output": row["instruction"]} for row in pair.rows])


def without_chats_that_lack_an_answer(pair: Pair, _: Finding) -> Pair:
    return _with_rows(pair, [row for row in pair.rows if row["messages"][-1]["role"] == "assistant"])


def with_answers_and_length(pair: Pair, _: Finding) -> Pair:
    """Without the rows that have no answer, and with room for the long ones."""
    return replace(pair, rows=[row for row in pair.rows if row["output"]], keys={"max_length": 1024})


def without_flipped_pairs(pair: Pair, _: Finding) -> Pair:
    return _with_rows(pair, {row["prompt"]: row for row in reversed(pair.rows)}.values())


def without_marked_turns(pair: Pair, _: Finding) -> Pair:
    """Each chat from its second request on."""
    return _with_rows(pair, [{"messages": row["messages"][2:]} for row in pair.rows])
