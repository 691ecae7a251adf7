"""OpenAssistant's trees: flat and nested exports, the best path, all paths, pairs."""

import random
from typing import Any

import pytest

from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats import oasst
from tests.data_prep.sources.row_formats.conversions import convert

ROLES = {"u": "prompter", "a": "assistant"}


def message(name: str, parent: str | None, text: str, rank: float | None = None, **more: Any) -> dict[str, Any]:
    return {
        "message_id": name, "parent_id": parent, "message_tree_id": "t1", "text": text, "role": ROLES[name[0]],
        "lang": "en", "rank": rank, "deleted": False, "review_result": True, "labels": {"quality": 0.5}, **more,
    }  # fmt: skip


TREE = [
    message("u1", None, "How do I boil an egg?"),
    message("a1", "u1", "Fry it.", 1),
    message("a2", "u1", "Seven minutes in boiling water.", 0),
    message("u2", "a2", "And a goose egg?"),
    message("u3", "a2", "And soft?"),
    message("a3", "u3", "Five minutes.", 0),
    message("a4", "u3", "No.", 1),
    message("u4", "a1", "Is that boiling?"),
    message("a5", "u4", "It is not."),
]


def nested(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def node(row: dict[str, Any]) -> dict[str, Any]:
        own = {key: value for key, value in row.items() if key != "message_tree_id"}
        return {**own, "replies": [node(one) for one in rows if one["parent_id"] == row["message_id"]]}

    return {"message_tree_id": "t1", "tree_state": "ready_for_export", "prompt": node(rows[0])}


def texts(fields: dict[str, Any]) -> list[str]:
    return [one["content"] for one in fields["messages"]]


BEST = ["How do I boil an egg?", "Seven minutes in boiling water.", "And soft?", "Five minutes."]


@pytest.mark.parametrize("rows", [TREE, [nested(TREE)], [nested(TREE)["prompt"]]], ids=["flat", "nested", "bare"])
def test_the_best_ranked_answer_is_followed_and_every_other_message_has_a_reason(rows):
    read = convert(rows)
    assert read.format_name == "oasst"
    assert [texts(one) for one in read.fields] == [BEST]
    assert [one["role"] for one in read.fields[0]["messages"]] == ["user", "assistant"] * 2
    assert read.rows[0].group == ("u1" if "replies" in rows[0] else "t1")
    assert sorted(read.reasons.values()) == ["no_answer", *["not_in_best_path"] * 4]
    assert read.unread == {"lang": 1, "labels": 1}


@pytest.mark.parametrize("rows", [TREE, [nested(TREE)]], ids=["flat", "nested"])
def test_all_paths_end_at_each_last_answer(rows):
    read = convert(rows, format_name="oasst_all_paths")
    assert [texts(one)[-1] for one in read.fields] == ["Five minutes.", "No.", "It is not."]
    assert len({row.source_row for row in read.rows}) == 3
    assert {row.group for row in read.rows} == {"t1"}
    assert list(read.reasons.values()) == ["no_answer"]


def test_pairs_are_the_best_and_the_worst_answer_of_a_question():
    read = convert(TREE, DatasetKind.PREFERENCES)
    first, second = read.fields
    assert (first["chosen"], first["rejected"]) == ("Seven minutes in boiling water.", "Fry it.")
    assert [one["content"] for one in second["prompt"]] == BEST[:3]
    assert (second["chosen"][0]["content"], second["rejected"][0]["content"]) == ("Five minutes.", "No.")
    assert sorted(read.reasons.values()) == ["no_answer", "not_in_a_pair", "not_in_a_pair"]


def test_messages_with_an_empty_list_of_replies_are_a_flat_export():
    assert [texts(one) for one in convert([{**one, "replies": []} for one in TREE]).fields] == [BEST]


def test_messages_may_come_in_any_order_and_as_text_of_a_csv_file():
    rows = [{key: str(value) if value is not None else "" for key, value in one.items()} for one in TREE]
    random.Random(3).shuffle(rows)
    assert [texts(one) for one in convert(rows).fields] == [BEST]


def test_a_message_with_a_flaw_takes_its_replies_with_it():
    flaws: list[dict[str, Any]] = [{"deleted": True}, {"review_result": False}, {"text": " "}, {"role": "narrator"}]
    reasons = ["deleted_message", "failed_review", "empty_message", "unknown_role: narrator"]
    for flaw, reason in zip(flaws, reasons, strict=True):
        rows = [{**one, **flaw} if one["message_id"] == "a2" else one for one in TREE]
        read = convert(rows)
        assert texts(read.fields[0]) == ["How do I boil an egg?", "Fry it.", "Is that boiling?", "It is not."]
        assert read.reasons == {"3": reason} | dict.fromkeys("4567", "reply_to_rejected_message")


def test_messages_without_their_tree_are_rejected():
    rows = [one for one in TREE if one["message_id"] != "a2"]
    rows += [message("a9", "u1", "x", message_tree_id=None), rows[0]]
    read = convert(rows)
    assert texts(read.fields[0])[-1] == "It is not."
    assert read.reasons == {
        "3": "parent_is_missing", "4": "parent_is_missing", "5": "parent_is_missing", "6": "parent_is_missing",
        "9": "message_without_id", "10": "duplicate_message_id",
    }  # fmt: skip


def test_a_tree_is_closed_when_many_messages_of_others_have_come(monkeypatch):
    monkeypatch.setattr(oasst, "MAX_DISTANCE", 3)
    others = [{**message("u", None, "Hi"), "message_tree_id": f"t{n}"} for n in range(2, 8)]
    assert [texts(one) for one in convert([*TREE, *others]).fields] == [BEST]
    read = convert([*TREE[:3], *others[:3], *TREE[3:]])
    assert [texts(one) for one in read.fields] == [BEST]
    read = convert([*TREE[:3], *others[:4], *TREE[3:]])
    assert [texts(one) for one in read.fields] == [BEST[:2]]
    assert list(read.reasons.values()).count("tree_is_not_contiguous") == 6
