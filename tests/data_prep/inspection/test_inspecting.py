"""What inspection counts, and what it calls wrong."""

import json
import tracemalloc

import pytest

from data_prep.dataset_folder import DatasetKind, SplitSizes
from data_prep.inspection.inspecting import inspect_folder
from data_prep.inspection.kept_rows import scan_kept_rows
from data_prep.inspection.page import page
from data_prep.inspection.problems import problems_of
from pipelines.errors import UserError
from tests.data_prep.inspection.conftest import ENGLISH, GERMAN, build, instruction, rejects


def test_a_folder_without_faults_has_no_problems(folder):
    found = inspect_folder(folder)
    assert [split for split in problems_of(found) if "groups" not in split] == []
    assert (found.n_rows, found.n_rejected, found.n_rejected_lines) == (60, 7, 7)
    assert sum(split.n_groups for split in found.splits) == 60
    assert found.openings == [("describe picture", 60)]
    assert found.characters["question"]["p50"] == len("Describe picture 10.")
    assert found.words["answer"]["p50"] == len(ENGLISH.split()) + 3


def test_reasons_have_counts_by_source_and_three_examples(folder):
    reasons = {reason.reason: reason for reason in inspect_folder(folder).reasons}
    assert {name: one.n_rows for name, one in reasons.items()} == {
        "empty_output": 4, "near_duplicate": 1, "no_messages": 2
    }  # fmt: skip
    assert len(reasons["empty_output"].examples) == 3
    assert reasons["empty_output"].by_source == {"trips.jsonl": 4}
    assert reasons["no_messages"].examples[0].texts[0].text == "odd"


def test_a_near_duplicate_is_compared_with_the_row_that_was_kept(folder):
    [pair] = inspect_folder(folder).pairs
    assert pair.kept_place == "trips.jsonl, row 7"
    assert "".join(piece.text for piece in pair.pieces if piece.kind == "removed") == "7"
    assert "".join(piece.text for piece in pair.pieces if piece.kind == "added") == "70"


def test_white_space_and_other_columns_do_not_differ_between_near_duplicates(tmp_path):
    row = {"instruction": "Describe\n\npicture  7.", "output": f"{ENGLISH}\non day 7.", "category": "travel"}
    near = {"kept": {"source": "trips.jsonl", "source_row": "7"}, "similarity": 1.0, "row": row}
    rows = [instruction(n) for n in range(20)]
    [pair] = inspect_folder(build(tmp_path / "x", rows, rejected=rejects("near_duplicate", 1, **near))).pairs
    assert {piece.kind for piece in pair.pieces} == {"same"}


def test_of_a_pair_with_one_text_that_text_is_shown(tmp_path):
    rows = [instruction(n) for n in range(20)]
    later = {"kept": {"source": "trips.jsonl", "source_row": "999"}, "similarity": 0.8, "row": {"instruction": "Hm?"}}
    document = {"kept": {"source": "trips.jsonl", "source_row": "7"}, "similarity": 0.9}
    lines = (*rejects("near_duplicate", 1, **later), *rejects("near_duplicate", 1, **document))
    pairs = inspect_folder(build(tmp_path / "x", rows, rejected=lines)).pairs
    assert [pair.pieces for pair in pairs] == [[], []]
    assert [pair.texts[0].text for pair in pairs] == ["Hm?", "Describe picture 7."]


def test_the_least_similar_pairs_come_first(tmp_path):
    rows = [instruction(n) for n in range(20)]
    kept = {"source": "trips.jsonl", "source_row": "7"}
    lines = [
        line for n in range(30) for line in rejects("near_duplicate", 1, kept=kept, similarity=(70 + n * 7 % 30) / 100)
    ]
    similar = [one.similarity for one in inspect_folder(build(tmp_path / "x", rows, rejected=tuple(lines))).pairs]
    assert similar[:5] == [0.7, 0.71, 0.72, 0.73, 0.74]
    assert len(similar) == 5 + 3


def test_changes_are_shown_word_by_word_and_secret_ones_only_counted(folder):
    changes = {change.step: change for change in inspect_folder(folder).changes}
    assert [(one.kind, one.text) for one in changes["mojibake"].examples[0].pieces] == [
        ("same", "the "), ("removed", "cafÃ©"), ("added", "café"), ("same", " was open")
    ]  # fmt: skip
    assert changes["personal_data"].examples == []
    assert changes["personal_data"].counts == {"email": 2}


def test_the_end_of_a_cut_excerpt_is_no_change(tmp_path):
    text = "".join(f"{n} words " for n in range(40))
    line = {"source": "s", "source_row": "1", "step": "markup", "counts": {"line_break": 1},
            "before": f"<br>{text}"[:200], "after": text[:200]}  # fmt: skip
    found = inspect_folder(build(tmp_path / "x", [instruction(n) for n in range(20)], changed=(line,)))
    pieces = found.changes[0].examples[0].pieces
    assert [piece.kind for piece in pieces] == ["removed", "same"]


def test_examples_follow_from_the_seed(tmp_path):
    rows = [instruction(n) for n in range(20)]
    folder = build(tmp_path / "x", rows, rejected=rejects("empty_output", 200))
    places = [[one.place for one in inspect_folder(folder, seed).reasons[0].examples] for seed in (0, 0, 1)]
    assert places[0] == places[1] != places[2]
    assert len(inspect_folder(folder, n_examples=30).reasons[0].examples) == 30


def test_conversations_preferences_and_corpora_are_measured_by_role(tmp_path):
    place = {"source": "trips.jsonl", "source_row": "1", "group": "g"}
    turns = [{"role": "user", "content": "Where to?"}, {"role": "assistant", "content": ENGLISH}] * 2
    none = SplitSizes(0, 0)
    chats = build(tmp_path / "c", [{"messages": turns, **place}], DatasetKind.CONVERSATIONS, none)
    pairs = build(tmp_path / "p", [{"prompt": turns[:1], "chosen": turns[1:2], "rejected": [
        {"role": "assistant", "content": "no"}], **place}], DatasetKind.PREFERENCES, none)  # fmt: skip
    texts = build(tmp_path / "t", [{"text": ENGLISH, **place}], DatasetKind.CORPUS, none)
    assert list(inspect_folder(chats).characters) == ["question", "answer", "turns"]
    assert inspect_folder(chats).characters["turns"]["max"] == 4
    assert list(inspect_folder(pairs).words) == ["question", "chosen", "rejected"]
    assert list(inspect_folder(texts).characters) == ["document"]


def test_a_turn_that_calls_a_tool_is_no_empty_answer_and_another_call_no_repeat(tmp_path):
    def chat(number):
        call = {"type": "function", "function": {"name": "add", "arguments": {"x": number}}}
        turns = [{"role": "user", "content": "Add."}, {"role": "assistant", "content": "", "tool_calls": [call]}]
        return {"messages": turns, "source": "trips.jsonl", "source_row": str(number), "group": f"g{number}"}

    rows = [chat(number) for number in range(30)]
    found = inspect_folder(build(tmp_path / "x", rows, DatasetKind.CONVERSATIONS, SplitSizes(0, 0)))
    assert (found.n_empty_answers, found.n_repeated_rows, found.n_repeated_questions) == (0, 0, 29)
    assert "answer" not in found.characters


@pytest.mark.parametrize(("rows", "problem"), [
    ([instruction(n, instruction="Say hi.") for n in range(60)], "with a question that is also in train"),
    ([instruction(n, group=f"g{n % 4}") for n in range(60)], "groups, under 10"),
    ([instruction(n, output="yes" if n % 2 else ENGLISH + str(n)) for n in range(60)], "same answer: yes"),
    ([instruction(n, output="" if n == 9 else ENGLISH) for n in range(60)], "1 row with an empty last answer"),
    ([instruction(n, group="g" if n % 2 else f"g{n}") for n in range(90)], "of all rows"),
    ([instruction(n % 50) for n in range(60)], "rows equal to an earlier row"),
    ([instruction(n, output=GERMAN if n in (4, 5) else ENGLISH) for n in range(60)], "2 of 60 sampled texts are in de"),
])  # fmt: skip
def test_what_looks_wrong_is_said(tmp_path, rows, problem):
    problems = problems_of(inspect_folder(build(tmp_path / "x", rows)))
    assert [one for one in problems if problem in one], problems


def test_a_source_that_lost_over_half_its_rows_is_named_with_the_reason(tmp_path):
    folder = build(tmp_path / "x", [instruction(n) for n in range(40)], rejected=rejects("near_duplicate", 60))
    assert "trips.jsonl lost 60% of its 100 rows as near_duplicate" in problems_of(inspect_folder(folder))


def test_copies_of_a_mixture_and_rows_over_a_limit_are_not_called_wrong(tmp_path):
    rows = [instruction(n, source_row=f"{n}{copy}") for n in range(40) for copy in ("", "#2", "#10")]
    folder = build(tmp_path / "x", rows, sizes=SplitSizes(0, 0), rejected=rejects("over_limit", 90))
    assert problems_of(inspect_folder(folder)) == []
    assert (inspect_folder(folder).n_copies, inspect_folder(folder).n_repeated_rows) == (80, 0)


def test_counts_that_do_not_add_up_are_said(folder):
    (folder / "rejected.jsonl").write_text((folder / "rejected.jsonl").read_text().split("\n", 1)[1])
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "n_read": 70}))
    problems = problems_of(inspect_folder(folder))
    assert "rejected.jsonl has 6 lines, but the manifest counts 7" in problems
    assert "70 rows were read, but only 67 were kept or left out" in problems


def test_a_folder_of_an_earlier_version_opens(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    kept = {name: manifest[name] for name in ("kind", "n_rows", "content_sha256")}
    (folder / "manifest.json").write_text(json.dumps(kept))
    for name in ("rejected.jsonl", "changed.jsonl"):
        (folder / name).unlink()
    found = inspect_folder(folder)
    assert (found.n_rows, found.reasons, found.changes) == (60, [], [])
    assert "60 rows kept, 0 left out" in page(found)


def test_a_broken_file_is_one_error_with_its_name(folder):
    (folder / "changed.jsonl").write_text("{}\n{broken\n")
    with pytest.raises(UserError, match=r"changed\.jsonl is not valid JSON on line 2"):
        inspect_folder(folder)
    parquet = folder / "data" / "train-00000-of-00001.parquet"
    whole = parquet.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:4] + b"\xff" * 400 + whole[404:]):
        parquet.write_bytes(broken)
        with pytest.raises(UserError, match=r"train-00000-of-00001\.parquet is not a whole Parquet file"):
            inspect_folder(folder)
    parquet.unlink()
    with pytest.raises(UserError, match="expected 60 as in its manifest"):
        inspect_folder(folder)


def test_memory_does_not_follow_the_size_of_the_texts(tmp_path):
    rows = [instruction(n, output=f"{n} " + "x" * 5_000) for n in range(4_000)]
    folder = build(tmp_path / "x", rows)
    del rows
    scan_kept_rows(folder, 4_000, seed=0)  # imports
    tracemalloc.start()
    scan_kept_rows(folder, 4_000, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20, "20 MB of text"
