"""Preference rows of every known format come to the same thing; what is no preference says why."""

import json
from pathlib import Path

import pytest
from datasets import Dataset

from data_prep.conversation import UnreadableRowError, read_preference
from pipelines.errors import UserError
from pipelines.training.data.preference_pairs import refuse_other_columns

USER = {"role": "user", "content": "Say hello.\n\nIn French."}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("Bonjour.", "Hello."))

ROWS = {
    "ours": {"instruction": "Say hello.", "input": "In French.", "chosen": "Bonjour.", "rejected": "Hello."},
    "texts": {"prompt": USER["content"], "chosen": "Bonjour.", "rejected": "Hello."},
    "messages": {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    "whole conversations": {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "whole conversations beside a prompt": {"prompt": "x", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "from and value": {
        "conversations": [{"from": "human", "value": USER["content"]}],
        "chosen": {"from": "gpt", "value": "Bonjour."},
        "rejected": {"value": "Hello."},
    },
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_all_formats_read_alike(row: dict) -> None:
    refuse_other_columns(Dataset.from_list([row]), "rows")
    preference = read_preference(row)
    assert (preference.prompt, preference.chosen, preference.rejected) == ([USER], GOOD, BAD)


def test_a_system_prompt_earlier_turns_and_tools_are_kept() -> None:
    before = [{"role": "system", "content": "Be brief."}, USER, GOOD, {"role": "user", "content": "Again."}]
    tools = [{"type": "function", "function": {"name": "greet"}}]
    row = {"prompt": before, "chosen": "Salut.", "rejected": "Hi.", "tools": json.dumps(tools)}
    preference = read_preference(row)
    assert preference.prompt == before
    assert preference.tools == tools
    assert read_preference({**ROWS["texts"], "system": "Be brief."}).prompt == [before[0], USER]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rejected": " Bonjour.\n"}, "chosen_equals_rejected"),
        ({"rejected": " "}, "empty_rejected"),
        ({"chosen": None}, "empty_chosen"),
        ({"chosen": [GOOD, USER, GOOD]}, "chosen_is_not_one_turn"),
        ({"instruction": " ", "input": ""}, "empty_prompt"),
        ({"chosen": [{"role": "assistant", "content": {"image": 1}}]}, "content_is_not_text"),
    ],
)
def test_a_row_without_a_preference_says_why(change: dict, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}$"):
        read_preference({**ROWS["ours"], **change})


def test_equal_conversations_are_equal_answers() -> None:
    with pytest.raises(UnreadableRowError, match="chosen_equals_rejected"):
        read_preference({"chosen": [USER, GOOD], "rejected": [USER, GOOD]})


@pytest.mark.parametrize(
    "row",
    [{"instruction": "x", "output": "y"}, {"chosen": "text", "rejected": "other"}, {"prompt": "p", "chosen": "c"}],
)
def test_other_columns_are_refused_with_those_found_and_the_formats_known(row: dict) -> None:
    with pytest.raises(UserError) as refused:
        refuse_other_columns(Dataset.from_list([row]), "my.jsonl")
    assert f"has the columns {', '.join(row)}, expected" in refused.value.problem
    assert "instruction + input + chosen + rejected" in refused.value.problem


def test_real_rows_of_several_turns_are_read(shared_data: Path) -> None:
    rows = json.loads((shared_data / "llamafactory-demos" / "dpo_en_demo.json").read_text())
    preferences = [read_preference(row) for row in rows]
    assert max(len(preference.prompt) for preference in preferences) == 13
    assert sum(preference.prompt[0]["role"] == "system" for preference in preferences) == 80
