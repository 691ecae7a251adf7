"""Pairs: HH-RLHF's dialogues, scored answers, binarized messages, explicit prompts."""

import pytest

from data_prep.dataset_folder import DatasetKind
from tests.data_prep.sources.row_formats.conversions import convert

PAIRS = DatasetKind.PREFERENCES
ASKED = "\n\nHuman: Can I eat acorns?\n\nAssistant: After you leach them.\n\nHuman: How?\n\nAssistant:"


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_the_common_start_of_two_dialogues_is_the_prompt():
    rows = [
        {"chosen": f"{ASKED} Soak them in water for days.\nHuman: is part of the answer.", "rejected": f"{ASKED} No."},
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: Go away."},
        {"chosen": f"{ASKED} Yes.", "rejected": f"{ASKED} Yes. "},
        {"chosen": f"{ASKED}", "rejected": f"{ASKED} Yes. "},
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"},
        {"chosen": "no dialogue", "rejected": f"{ASKED} Yes."},
    ]
    read = convert(rows, PAIRS, n_head=5)
    assert read.format_name == "hh_rlhf"
    first, second = read.fields
    assert [one["role"] for one in first["prompt"]] == ["user", "assistant", "user"]
    assert first["chosen"] == [said("assistant", "Soak them in water for days.\nHuman: is part of the answer.")]
    assert second == {"instruction": "Hi", "input": "", "chosen": "Hello.", "rejected": "Go away."}
    assert read.reasons == {
        "3": "chosen_equals_rejected", "4": "empty_chosen", "5": "empty_prompt", "6": "text_is_no_dialogue",
    }  # fmt: skip


def test_a_bad_row_among_the_first_does_not_hide_the_format():
    rows = [{"chosen": "none", "rejected": "no"}, *[{"chosen": f"{ASKED} Yes.", "rejected": f"{ASKED} No."}] * 19]
    read = convert(rows, PAIRS)
    assert (read.format_name, len(read.rows), read.reasons) == ("hh_rlhf", 19, {"1": "text_is_no_dialogue"})


def test_the_prompt_may_be_a_dialogue_of_its_own():
    rows = [{"prompt": ASKED, "chosen": " Soak them.", "rejected": " No.", "response": "Soak them."}]
    [pair] = convert(rows, PAIRS).fields
    assert [one["role"] for one in pair["prompt"]] == ["user", "assistant", "user"]
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("Soak them.", "No.")
    [chosen] = convert(rows).fields
    assert chosen["messages"] == [*pair["prompt"], *pair["chosen"]]


def test_the_chosen_dialogue_is_a_conversation():
    read = convert([{"chosen": f"{ASKED} Soak them.", "rejected": f"{ASKED} No."}])
    assert [one["content"] for one in read.fields[0]["messages"]][-2:] == ["How?", "Soak them."]
    assert read.unread == {"rejected": 1}


def scored(*scores: float | str | None) -> dict[str, object]:
    answers = [{"response": f"answer {n}", "overall_score": score, "model": "m"} for n, score in enumerate(scores)]
    return {"source": "evol", "instruction": "Explain tides.", "models": ["m"], "completions": answers}


def test_the_best_scored_answer_is_chosen_against_the_worst():
    rows = [scored(7, 9, 2.5, 9), scored("1", "3"), scored(5, 5), scored(None, 4), scored()]
    read = convert(rows, PAIRS, n_head=2)
    assert read.format_name == "ultrafeedback"
    assert [(one["chosen"], one["rejected"]) for one in read.fields] == [
        ("answer 1", "answer 2"),
        ("answer 1", "answer 0"),
    ]
    assert read.reasons == {
        "3": "scores_are_equal", "4": "fewer_than_two_scored_answers", "5": "no_scored_answer",
    }  # fmt: skip
    assert {row.source for row in read.rows} == {"evol"}
    wrong_overall = [{"response": "a", "overall_score": 10.0, "fine-grained_score": 1.0},
                     {"response": "b", "overall_score": 8.0, "fine-grained_score": 4.5}]  # fmt: skip
    assert convert([{"instruction": "x", "completions": wrong_overall}]).fields[0]["output"] == "b"
    assert convert([scored(7, 9)]).fields == [{"instruction": "Explain tides.", "input": "", "output": "answer 1"}]


@pytest.mark.parametrize("row", [
    {"prompt": "Explain tides.", "responses": ["Magic.", "The moon pulls."], "scores": [0.1, 0.9]},
    {"question": "Explain tides.",
     "answers": [{"text": "The moon pulls.", "pm_score": 7}, {"text": "Magic.", "pm_score": 0}]},
    {"prompt": "Explain tides.", "prompt_id": "x", "score_chosen": 9.0, "score_rejected": 2.0,
     "chosen": [said("user", "Explain tides."), said("assistant", "The moon pulls.")],
     "rejected": [said("user", "Explain tides."), said("assistant", "Magic.")]},
    {"chosen": [said("user", "Explain tides."), said("assistant", "The moon pulls.")],
     "rejected": [said("user", "Explain tides."), said("assistant", "Magic.")]},
    {"prompt": [said("user", "Explain tides.")], "chosen": [said("assistant", "The moon pulls.")],
     "rejected": [said("assistant", "Magic.")]},
    {"chosen_messages": [said("user", "Explain tides."), said("assistant", "The moon pulls.")],
     "rejected_messages": [said("user", "Explain tides."), said("assistant", "Magic.")]},
    {"question": "Explain tides.", "system": "", "chosen": "The moon pulls.", "rejected": "Magic."},
    {"conversations": [{"from": "human", "value": "Explain tides."}],
     "chosen": {"from": "gpt", "value": "The moon pulls."}, "rejected": {"from": "gpt", "value": "Magic."}},
])  # fmt: skip
def test_every_way_to_write_a_pair_gives_the_same_pair(row):
    pair = {"instruction": "Explain tides.", "input": "", "chosen": "The moon pulls.", "rejected": "Magic."}
    assert convert([row], PAIRS).fields == [pair]
