"""KTO's rows: desirable answers as instructions, opposite answers as pairs."""

import json

from data_prep.dataset_folder import DatasetKind
from tests.data_prep.sources.row_formats.conversions import convert

ROWS = [
    {"prompt": "Name a fruit.", "completion": "A pear.", "label": True},
    {"prompt": "Name a tool.", "completion": "A hammer.", "label": True},
    {"prompt": "name  a fruit.", "completion": "A brick.", "label": False},
    {"prompt": "Name a bird.", "completion": "A cow.", "label": False},
    {"prompt": "Name a fruit.", "completion": "A stone.", "label": False},
    {"prompt": "Name a fruit.", "completion": "A plum.", "label": True},
    {"prompt": "Name a fruit.", "completion": "A fig.", "label": None},
]


def test_desirable_answers_are_instructions_and_the_others_have_a_reason():
    read = convert(ROWS, n_head=5)
    assert read.format_name == "kto"
    assert [one["output"] for one in read.fields] == ["A pear.", "A hammer.", "A plum."]
    undesirable = dict.fromkeys("345", "undesirable_answer")
    assert read.reasons == {**undesirable, "7": "label_is_not_true_or_false"}
    assert read.unread == {}


def test_opposite_answers_of_one_prompt_are_a_pair():
    read = convert(ROWS, DatasetKind.PREFERENCES, n_head=5)
    pairs = [(row.source_row, row.fields["chosen"], row.fields["rejected"]) for row in read.rows]
    assert pairs == [("1+3", "A pear.", "A brick."), ("5+6", "A plum.", "A stone.")]
    assert read.reasons == {"2": "no_opposite_answer", "4": "no_opposite_answer", "7": "label_is_not_true_or_false"}


def test_messages_and_labels_of_other_names_are_read():
    talk = [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [{"messages": talk, "kto_tag": "true"}, {"messages": [*talk[:2], {**talk[2], "content": "c"}], "kto_tag": 0}]
    assert [one["messages"] for one in convert(rows).fields] == [talk]
    [pair] = convert(rows, DatasetKind.PREFERENCES).fields
    assert (pair["system"], pair["instruction"], pair["chosen"], pair["rejected"]) == ("s", "a", "b", "c")
    apart = [{"prompt": one["messages"][:2], "completion": one["messages"][2:], "label": n == 0}
             for n, one in enumerate(rows)]  # fmt: skip
    assert convert(apart, DatasetKind.PREFERENCES).fields == [pair]


def test_answers_under_two_system_texts_are_no_pair():
    rows = [{**ROWS[0], "system": "Be kind."}, {**ROWS[2], "system": "Be rude."}]
    assert set(convert(rows, DatasetKind.PREFERENCES).reasons.values()) == {"no_opposite_answer"}


def test_instructions_with_a_tag_are_read():
    rows = [{"instruction": "Add.", "input": "1 2", "output": answer, "kto_tag": answer == "3"} for answer in "34"]
    assert convert(rows).fields == [{"instruction": "Add.", "input": "1 2", "output": "3"}]
    [pair] = convert(rows, DatasetKind.PREFERENCES).fields
    assert pair == {"instruction": "Add.\n\n1 2", "input": "", "chosen": "3", "rejected": "4"}


def test_rows_without_a_label_among_the_first_do_not_hide_the_format():
    read = convert([ROWS[6], *ROWS[:6]])
    assert read.format_name == "kto"
    assert read.reasons["1"] == "label_is_not_true_or_false"


def test_labels_of_0_and_1_are_truth_values_beside_a_completion_only():
    read = convert([{"prompt": "a", "completion": answer, "label": label} for label, answer in enumerate("bc")])
    assert (read.format_name, len(read.rows)) == ("kto", 1)
    assert read.reasons == {"1": "undesirable_answer"}
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert convert([{"messages": talk, "label": label} for label in (0, 1)]).format_name is None


def test_a_label_of_classes_is_no_kto():
    rows = [{"prompt": "a", "completion": "b", "label": label} for label in ("sports", "true")]
    assert convert(rows).format_name is None


def test_real_kto_rows_are_read(shared_data):
    rows = json.loads((shared_data / "llamafactory-demos" / "kto_en_demo.json").read_text())
    read = convert(rows)
    assert (read.format_name, len(read.rows), len(read.rejected)) == ("kto", 150, 150)
    pairs = convert(rows, DatasetKind.PREFERENCES)
    assert len(pairs.rows) * 2 + len(pairs.rejected) == 300
