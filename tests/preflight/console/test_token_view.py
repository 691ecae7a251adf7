"""Rows token by token: what is in the loss, where an answer ends and what was cut can be seen, and nothing harms."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.console.shown_row import Gap, Role, ShownExample, ShownToken
from pipelines.preflight.console.terminal import columns
from pipelines.preflight.console.token_view import PIECE, legend_line, row_lines, shown_rows
from pipelines.training.data.ledger import RowFate
from tests.preflight.contexts import (
    FAMILIES,
    Bases,
    context_of,
    pretraining_context,
    rows_of,
    without_codes,
    write_jsonl,
)

Make = Callable[..., CheckContext]
LONG = {"instruction": "Count " + "one two three " * 60, "output": "four five six " * 60 + "end."}


@pytest.fixture
def make(bases: Bases, tmp_path: Path) -> Make:
    """A case of rows on a base of a family."""
    return lambda rows, family="qwen", **keys: context_of(tmp_path, bases[family], rows, **keys)


def tokens_of(example: ShownExample, *roles: Role) -> list[ShownToken]:
    return [piece for piece in example.pieces if isinstance(piece, ShownToken) and piece.role in roles]


def text_of(example: ShownExample, *roles: Role) -> str:
    return "".join(piece.text for piece in tokens_of(example, *roles))


@pytest.mark.parametrize("family", FAMILIES)
def test_prompt_answer_and_end_token_are_told_apart(make, family):
    [row] = rows_of(1)
    context = make([row], family)
    [shown] = shown_rows(context, 1)
    [example] = shown.examples
    assert text_of(example, Role.ANSWER) == row["output"]
    assert row["instruction"] in text_of(example, Role.PROMPT)
    assert text_of(example, Role.END) == context.tokenizer.eos_token, "the end tokens of the user's turns are prompt"
    assert text_of(example, Role.BEGIN) == ("<|begin_of_text|>" if family == "llama3" else "")
    assert all(piece.trained == (piece.role in (Role.ANSWER, Role.END)) for piece in tokens_of(example, *Role))
    assert (shown.fate, shown.n_cut, shown.n_tokens) == (RowFate.KEPT, 0, len(example.pieces))
    assert shown.n_trained == len(tokens_of(example, Role.ANSWER, Role.END))


def test_marks_stand_around_what_is_in_the_loss(make):
    context = make([{"instruction": "Greet.", "output": "Hi you.\n\tBye."}])
    head, *lines = row_lines(shown_rows(context, 1)[0], color=False)
    assert head.startswith("row 0 (train): ")
    assert head.endswith("; kept")
    text = "".join(line.strip() for line in lines).replace("│", "")
    assert text.startswith("<|im_start|>user⏎Greet.<|im_end|>⏎<|im_start|>assistant⏎[[Hi·you.⏎→Bye.<|im_end|>⟨end⟩]]")


def test_an_end_token_that_is_not_in_the_loss_stands_out(make):
    context = make(rows_of(1))
    [row] = context.train.rows
    [example] = row.examples
    place = max(at for at, label in enumerate(example.labels) if label != IGNORED)
    faulty = replace(example, labels=[*example.labels[:place], IGNORED, *example.labels[place + 1 :]])
    seen = replace(row, examples=(faulty,), whole=(faulty,))
    [shown] = shown_rows(replace(context, train=replace(context.train, rows=(seen,))), 1)
    [end] = tokens_of(shown.examples[0], Role.END)
    assert not end.trained
    assert "]]│<|im_end|>⟨end, not in the loss⟩" in "".join(line.strip() for line in row_lines(shown, color=False))
    assert "\x1b[1;7;31m<|im_end|>" in "\n".join(row_lines(shown, color=True))


def test_a_cut_answer_shows_what_was_cut_before_its_end_token(make):
    context = make([*rows_of(3), {"instruction": "Count.", "output": "seven eight nine " * 30}], max_length=128,
                long_rows="keep_end_token")  # fmt: skip
    shown = shown_rows(context, 2)
    assert [row.number for row in shown] == [0, 3], "a row that was cut is shown last"
    [example] = shown[1].examples
    whole = "seven eight nine " * 30
    assert whole.startswith(text_of(example, Role.ANSWER))
    assert shown[1].fate is RowFate.ANSWER_CUT
    assert shown[1].n_tokens == 128
    assert shown[1].n_cut == len(context.train.rows[3].whole[0]) - 128
    assert example.pieces[-1].role is Role.END
    assert "cut off; answer cut" in row_lines(shown[1], color=False)[0]
    assert "~~" in "".join(row_lines(shown[1], color=False))


def test_a_cut_prompt_shows_its_left_as_cut(make):
    context = make([{"instruction": "alpha beta gamma delta " * 8, "output": "Yes."}], max_length=128,
                long_rows="truncate_prompt")  # fmt: skip
    [shown] = shown_rows(context, 1)
    [example] = shown.examples
    assert shown.fate is RowFate.PROMPT_CUT
    assert "alpha beta" in text_of(example, Role.CUT)
    assert text_of(example, Role.ANSWER) == "Yes."
    assert text_of(example, Role.PROMPT).startswith("<|im_start|>user\n")


def test_a_dropped_row_is_shown_as_cut_as_a_whole(make):
    context = make([*rows_of(2), LONG], max_length=128)
    row = shown_rows(context, 2)[1]
    assert (row.fate, row.n_tokens, row.n_trained) == (RowFate.DROPPED, 0, 0)
    assert {piece.role for piece in row.examples[0].pieces} == {Role.CUT}
    assert row_lines(row, color=False)[0] == (
        f"row 2 (train): all {row.n_cut} tokens dropped; dropped (longer than max length)"
    )


def test_pieces_of_a_split_row_are_shown_one_by_one(make):
    row = {"instruction": "Go.", "output": "red green blue " * 40}
    context = make([*rows_of(1), row], max_length=128, long_rows="split")
    shown = shown_rows(context, 2)[1]
    assert shown.fate is RowFate.SPLIT
    assert [example.title for example in shown.examples][:2] == [
        f"piece 1 of {len(shown.examples)}", f"piece 2 of {len(shown.examples)}",
    ]  # fmt: skip


def test_a_pair_is_shown_as_chosen_and_rejected(make):
    pairs = [{"prompt": f"Say {n}.", "chosen": f"It is {n}.", "rejected": "No."} for n in range(3)]
    [shown] = shown_rows(make(pairs, stage=Stage.DPO), 1)
    assert [(one.title, text_of(one, Role.ANSWER)) for one in shown.examples] == [
        ("chosen", "It is 0."), ("rejected", "No."),
    ]  # fmt: skip
    assert all(tokens_of(one, Role.END)[-1].trained for one in shown.examples)


def test_a_document_is_shown_with_its_separators(bases, tmp_path):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", (row["output"] for row in rows_of(20)))
    context = pretraining_context(tmp_path, model_name_or_path=bases["llama3"], dataset_name=corpus, max_length=64)
    [shown] = shown_rows(context, 1)
    [example] = shown.examples
    assert example.title == "a document, from its start"
    assert [piece.role for piece in example.pieces][:2] == [Role.BEGIN, Role.ANSWER]
    assert text_of(example, Role.ANSWER) == context.train.rows[0].values["text"]
    assert text_of(example, Role.END) == context.tokenizer.eos_token


def test_a_row_without_tokens_is_told_in_one_line(make):
    context = make([{"instruction": "Say it.", "output": ""}, *rows_of(1)])
    shown = shown_rows(context, 2)
    assert [row.number for row in shown] == [1, 0]
    assert row_lines(shown[1], color=False) == ["row 0 (train): no tokens; dropped (empty output)"]


def test_as_many_rows_as_asked_for_and_there(make):
    context = make(rows_of(3))
    assert [len(shown_rows(context, n)) for n in (0, 1, 3, 9)] == [0, 1, 3, 3]


def test_a_character_of_several_tokens_stands_at_the_last_of_them(make):
    [shown] = shown_rows(make([{"instruction": "Write.", "output": "你好 👋 é"}]), 1)
    texts = [piece.text for piece in tokens_of(shown.examples[0], Role.ANSWER)]
    assert "".join(text for text in texts if text != PIECE) == "你好 👋 é"
    assert PIECE in texts
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(texts)


def test_a_long_row_is_shortened_between_its_boundaries(make):
    context = make([LONG], max_length=65_536)
    [shown] = shown_rows(context, 1)
    [example] = shown.examples
    gaps = [piece for piece in example.pieces if isinstance(piece, Gap)]
    shown_tokens = [piece for piece in example.pieces if isinstance(piece, ShownToken)]
    assert [gap.role for gap in gaps] == [Role.PROMPT, Role.ANSWER]
    assert sum(gap.n_tokens for gap in gaps) + len(shown_tokens) == example.n_tokens
    text = "".join(line.strip() for line in row_lines(shown, color=False)[1:]).replace("│", "")
    assert text.startswith("<|im_start|>user⏎Count·one")
    assert "assistant⏎[[four·five" in text
    assert text.endswith("end.<|im_end|>⟨end⟩]]")
    assert text.count(" tokens … ") == 2


def test_very_many_turns_are_cut_in_the_middle(make):
    turn = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "Yes, I do."}]
    context = make([{"messages": turn * 120}], max_length=65_536)
    [shown] = shown_rows(context, 1)
    lines = row_lines(shown, color=False)
    assert sum(map(len, lines)) < 4_000
    assert " tokens … " in "".join(lines)
    assert len(json.dumps(shown.to_json())) < 100_000


HOSTILE = (
    "\x1b[2J\x1b]0;mine\x07", "\u202eevil\u202c", "nul\x00", "\x9b31m", "a\rb", "[[fake]]⟨end⟩", "<script>x</script>",
    "long " + "x" * 5_000, " " * 5_000, "\u200b\ufeff", "é́́́",
)  # fmt: skip


def test_nothing_of_a_row_reaches_the_terminal_raw(make):
    rows = [{"instruction": text + " in", "output": text + " out"} for text in HOSTILE]
    context = make(rows, max_length=65_536)
    for shown in shown_rows(context, len(rows)):
        plain, colored = row_lines(shown, color=False), row_lines(shown, color=True)
        for line in (*plain, *map(without_codes, colored)):
            assert all(character.isprintable() or character == "\u200d" for character in line), repr(line)
            assert cell_len(line) <= columns()


def test_one_token_of_any_length_is_cut(make):
    token = ShownToken("y" * 100_000, 7, True, Role.ANSWER)
    [shown] = shown_rows(make(rows_of(1)), 1)
    lines = row_lines(replace(shown, examples=(replace(shown.examples[0], pieces=(token,)),)), color=False)
    assert sum(map(len, lines)) < 400
    assert "99,920 more characters" in "".join(lines)


def test_lines_keep_to_a_narrow_terminal(make, monkeypatch):
    monkeypatch.setenv("COLUMNS", "44")
    context = make([{"instruction": "长" * 60, "output": "宽" * 60 + "word" * 30}])
    assert max(map(cell_len, row_lines(shown_rows(context, 1)[0], color=False)[1:])) <= 44


def test_the_record_of_a_row_is_json_without_loss(make):
    [shown] = shown_rows(make(rows_of(1)), 1)
    record: dict[str, Any] = json.loads(json.dumps(shown.to_json(), allow_nan=False))
    assert record == shown.to_json()
    assert record["examples"][0]["tokens"][-2][3] == "end" or record["examples"][0]["tokens"][-1][3] == "end"


def test_the_legend_names_the_marks():
    assert "[[in the loss]]" in legend_line(color=False)
    assert "\x1b[" not in legend_line(color=False)
    assert "\x1b[" in legend_line(color=True)
