"""Every step finds the fault that it is for, and nothing in clean rows."""

import time

import pytest

from data_prep.cleaning.registry import ROW_STEPS
from data_prep.cleaning.row_texts import row_texts
from tests.data_prep.cleaning.steps.planted import FAULTS, clean_rows, false_positives, recall

N_ROWS = 50


@pytest.mark.parametrize(("name", "options", "plant"), [fault[1:] for fault in FAULTS], ids=[one[1] for one in FAULTS])
def test_a_step_finds_95_percent_of_planted_faults_and_no_clean_row(name, options, plant):
    step = ROW_STEPS[name]
    function = step.make(step.options(**options))
    rows = clean_rows(200)
    assert false_positives(function, rows) == []
    assert recall(function, [row for row in rows if not row["output"].isascii()][:N_ROWS], plant) >= 0.95


HOSTILE = [
    " ", "\n", "[", "<ref>", "<br", "&amp", "{{", "```\n(", "\nInstruction:", "\n1. Instruction: a", "Q: a\nA: b\n",
    "a ", "the words of it are so\n", "As an AI language model, ", "no input ", "\x1b[1;", "\u200d", "\ufffd", "Ã©",
    '"Ã©"', "!", "我不知道。",
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), [fault[1:3] for fault in FAULTS], ids=[one[1] for one in FAULTS])
def test_a_long_text_takes_time_in_proportion(name, options):
    step = ROW_STEPS[name]
    function = step.make(step.options(**options))
    for piece in HOSTILE:
        text = piece * (30_000 // len(piece))
        start = time.process_time()
        function(row_texts({"instruction": "Why?", "input": text, "output": text}))
        assert time.process_time() - start < 1.5, piece
