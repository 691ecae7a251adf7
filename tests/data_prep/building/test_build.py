"""The engine on small sources: the same bytes for any number of processes, mixtures, previews, limits."""

import json
import subprocess
import sys

import pytest

from data_prep import build_corpus, build_instructions
from data_prep.building import choosing, reading
from data_prep.cleaning.duplicates.near_duplicates import NearDuplicate
from data_prep.dataset_folder import read_manifest, read_rows
from pipelines.errors import UserError
from tests.conftest import PROJECT
from tests.run_files import write_jsonl

WORDS = ("amber", "birch", "cedar", "delta", "ember", "frost", "grove", "haven", "inlet", "jetty", "knoll", "larch")
NO_SPLIT = ("--validation_size", 0, "--test_size", 0)


def rows(n, start=0):
    """Rows that share no pair of words in a row."""
    for number in range(start, start + n):
        text = " ".join(f"{word}{number * 17 + place}" for place, word in enumerate(WORDS * 3))
        yield {"instruction": f"Write about topic {number}.", "input": "", "output": text}


def build(output, *flags):
    build_instructions.main(["--output", str(output), *map(str, flags)])
    return read_manifest(output)


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_two_processes_write_the_same_bytes_as_one(tmp_path, monkeypatch):
    (tmp_path / "rows").mkdir()
    for name in "abc":
        write_jsonl(
            tmp_path / "rows" / f"{name}.jsonl",
            [*rows(40, ord(name) * 40), *rows(5), {"instruction": "", "output": name}],
        )
    monkeypatch.setattr(reading, "_ROWS_OF_A_SHARD", 7)
    folders = [tmp_path / name / "out" for name in ("one", "two", "again")]
    for folder, n_processes in zip(folders, (1, 2, 2), strict=True):
        build(folder, "--source", tmp_path / "rows", "--num_proc", n_processes)
    one, two, again = (files_of(folder) for folder in folders)
    for path in one:
        if path.name not in ("README.md", "manifest.json"):  # they hold the command
            assert one[path] == two[path] == again[path], path
    manifests = [read_manifest(folder) for folder in folders]
    assert len({json.dumps({**one, "command": ""}) for one in manifests}) == 1
    assert manifests[0]["n_rejected"] == {"duplicate": 10, "empty_instruction": 3}
    assert manifests[0]["n_read"] == 138


def test_a_row_that_is_left_out_later_keeps_its_reason_step_and_content(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [*rows(3), *rows(1)])
    manifest = build(tmp_path / "out", "--source", tmp_path / "rows.jsonl")
    [line] = [json.loads(text) for text in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert (line["source_row"], line["reason"], line["step"]) == ("4", "duplicate", "exact_duplicates")
    assert line["row"]["instruction"] == "Write about topic 0."
    assert manifest["rejected_by_source"] == {"rows.jsonl": {"duplicate": 1}}


def test_a_near_duplicate_names_the_row_that_is_kept(tmp_path):
    [first] = rows(1)
    edited = {**first, "output": first["output"].replace("amber0", "ochre", 1)}
    write_jsonl(tmp_path / "rows.jsonl", [*rows(3), edited])
    build(tmp_path / "out", "--source", tmp_path / "rows.jsonl")
    [line] = [json.loads(text) for text in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert line["reason"] == "near_duplicate"
    assert line["kept"] == {"source": "rows.jsonl", "source_row": "1"}
    assert 0.8 < line["similarity"] < 1


def test_near_duplicates_can_be_kept_in_one_split(tmp_path):
    [first] = rows(1)
    edited = [
        {
            **first,
            "instruction": first["instruction"] + " Now" * n,
            "output": first["output"].replace("amber0", f"ochre{n}", 1),
        }
        for n in range(3)
    ]
    write_jsonl(tmp_path / "rows.jsonl", [*edited, *rows(60, 1)])
    (tmp_path / "steps.yaml").write_text("- near_duplicates: {action: group}\n")
    manifest = build(tmp_path / "out", "--source", tmp_path / "rows.jsonl", "--steps", tmp_path / "steps.yaml")
    assert manifest["n_rejected"] == {}
    by_row = {
        row["source_row"]: row["group"]
        for split in ("train", "validation", "test")
        for row in read_rows(tmp_path / "out", split)
    }
    assert len({by_row[number] for number in ("1", "2", "3")}) == 1
    assert len(set(by_row.values())) == 61


def test_the_other_rows_of_a_group_follow_a_near_duplicate(tmp_path):
    found = list(rows(60))
    edited = {**found[0], "instruction": found[0]["instruction"] + " Now", "group": "tree"}
    write_jsonl(tmp_path / "rows.jsonl", [*found, edited, {**next(rows(1, 90)), "group": "tree"}])
    (tmp_path / "steps.yaml").write_text("- near_duplicates: {action: group}\n")
    build(tmp_path / "out", "--source", tmp_path / "rows.jsonl", "--steps", tmp_path / "steps.yaml")
    splits = {split: read_rows(tmp_path / "out", split) for split in ("train", "validation", "test")}
    places = {row["source_row"]: (split, row["group"]) for split, read in splits.items() for row in read}
    assert places["1"] == places["61"] == places["62"]
    assert len(set(places.values())) == 60


def test_a_step_for_meaning_names_the_row_that_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    monkeypatch.setattr(choosing, "semantic_duplicates", lambda rows, *_: [NearDuplicate(rows[2], rows[0], 0.97)])
    write_jsonl(tmp_path / "rows.jsonl", rows(5))
    (tmp_path / "steps.yaml").write_text("- semantic_duplicates: {model: local-model, threshold: 0.9}\n")
    manifest = build(tmp_path / "out", "--source", tmp_path / "rows.jsonl", "--steps", tmp_path / "steps.yaml")
    assert manifest["rejected_by_step"] == {"semantic_duplicates": 1}
    [line] = [json.loads(text) for text in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert (line["reason"], line["source_row"], line["similarity"]) == ("semantic_duplicate", "3", 0.97)
    assert line["kept"] == {"source": "rows.jsonl", "source_row": "1"}


def test_a_mixture_weighs_caps_and_phrases_its_sources(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", rows(40))
    write_jsonl(tmp_path / "b.jsonl", rows(40, 100))
    phrasings = ["{instruction}", "Please: {instruction}"]
    first = {"source": f"{tmp_path}/a.jsonl", "weight": 2, "license": "mit", "phrasings": phrasings}
    second = {"source": f"{tmp_path}/b.jsonl", "max_rows": 10}
    (tmp_path / "mixture.yaml").write_text(json.dumps([first, second]))  # JSON is YAML
    manifest = build(tmp_path / "out", "--mixture", tmp_path / "mixture.yaml", *NO_SPLIT)
    assert manifest["n_rows"]["train"] == 90
    assert manifest["n_rejected"] == {"not_sampled": 30}
    assert manifest["licenses"] == ["mit"]
    assert [one["mixture"] for one in manifest["sources"]] == [
        {"weight": 2.0, "phrasings": phrasings},
        {"max_rows": 10},
    ]
    assert "| weight 2.0, phrasings 2 |" in (tmp_path / "out" / "README.md").read_text()
    train = read_rows(tmp_path / "out", "train")
    first, second = train[:2]
    assert (first["source_row"], second["source_row"]) == ("1", "1#2")
    assert first["instruction"] != second["instruction"]
    assert {"Write about topic 0.", "Please: Write about topic 0."} == {first["instruction"], second["instruction"]}


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"column_map": {"instructoin": "question"}}, "mixture.yaml has 'instructoin', .* did you mean instruction"),
        ({"split": "nope"}, "a.jsonl is one file, which has no split 'nope'"),
    ],
)
def test_a_part_of_a_mixture_that_cannot_be_read_as_told_is_refused(tmp_path, entry, error):
    source = str(write_jsonl(tmp_path / "a.jsonl", rows(3)))
    (tmp_path / "mixture.yaml").write_text(json.dumps([{"source": source, **entry}]))
    with pytest.raises(UserError, match=error):
        build(tmp_path / "out", "--mixture", tmp_path / "mixture.yaml")


def test_evaluation_sets_of_the_flag_are_added_to_those_of_the_steps_file(tmp_path):
    sets = [str(write_jsonl(tmp_path / f"{name}.jsonl", rows(1, start))) for name, start in (("one", 1), ("two", 2))]
    (tmp_path / "steps.yaml").write_text(json.dumps([{"contamination": {"against": sets[:1]}}]))
    source = write_jsonl(tmp_path / "rows.jsonl", rows(4))
    flags = ["--steps", tmp_path / "steps.yaml", "--decontaminate", sets[1]]
    manifest = build(tmp_path / "out", "--source", source, *flags)
    assert manifest["n_rejected"] == {"contaminated": 2}


def test_public_without_an_upload_is_refused(tmp_path):
    with pytest.raises(UserError, match="--public is for an upload"):
        build(tmp_path / "out", "--source", "a.jsonl", "--public")


def test_documents_have_no_phrasings(tmp_path):
    (tmp_path / "mixture.yaml").write_text('[{source: a.txt, phrasings: ["Do {instruction}"]}]')
    with pytest.raises(UserError, match=r"a\.txt in .* has phrasings, but a document has no request"):
        build_corpus.main(["--mixture", str(tmp_path / "mixture.yaml"), "--output", str(tmp_path / "out")])


def test_a_step_that_removes_most_of_a_source_stops_the_build(tmp_path):
    same = next(iter(rows(1)))
    write_jsonl(tmp_path / "faq.jsonl", [*[same] * 80, *rows(30)])
    with pytest.raises(UserError, match=r"exact_duplicates would remove 80 of 110 rows of faq\.jsonl, more than"):
        build(tmp_path / "out", "--source", tmp_path / "faq.jsonl")
    assert not list(tmp_path.glob("*out*"))
    with pytest.raises(UserError, match=r"read rejected\.jsonl; .* or leave out one of two sources"):
        build(tmp_path / "out", "--source", tmp_path / "faq.jsonl")
    build(tmp_path / "out", "--source", tmp_path / "faq.jsonl", "--max_removed_share", "0.9")


def test_several_sources_may_follow_one_flag_as_a_shell_writes_them(tmp_path):
    files = [write_jsonl(tmp_path / f"{name}.jsonl", rows(3, 3 * n)) for n, name in enumerate("abc")]
    manifest = build(tmp_path / "out", "--source", *files[:2], "--source", files[2])
    assert [one["name"] for one in manifest["sources"]] == ["a.jsonl", "b.jsonl", "c.jsonl"]


def test_a_source_without_a_usable_row_is_an_error_also_beside_a_good_one(tmp_path):
    write_jsonl(tmp_path / "good.jsonl", rows(3))
    write_jsonl(tmp_path / "bad.jsonl", [{"instruction": "Say it.", "output": ""}] * 3)
    with pytest.raises(UserError, match=r"bad\.jsonl has no usable row \(3 rejected as empty_output\)"):
        build(tmp_path / "out", "--source", tmp_path / "good.jsonl", "--source", tmp_path / "bad.jsonl")


def test_a_preview_prints_rows_and_reasons_and_writes_nothing(tmp_path, capsys):
    write_jsonl(tmp_path / "rows.jsonl", [*rows(1), {"instruction": "Say it.", "output": ""}, *rows(5, 1)])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()  # an --output that exists is no problem: nothing is written
    build_instructions.main(
        ["--source", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path / "out"), "--preview", "2"]
    )
    printed = capsys.readouterr().out
    assert "Write about topic 0." in printed
    assert "rejected: empty_output" in printed
    assert "topic 2" not in printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_limit_keeps_the_same_seeded_rows_each_time(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", rows(60))
    kept = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        flags = ["--limit", 10, "--seed", seed, *NO_SPLIT]
        build(tmp_path / name, "--source", tmp_path / "rows.jsonl", *flags)
        kept.append([int(row["source_row"]) for row in read_rows(tmp_path / name, "train")])
    assert kept[0] == kept[1] == sorted(kept[0])
    assert kept[0] != kept[2]
    assert kept[0] != list(range(1, 11))


@pytest.mark.parametrize("flags", [[], ["--source", "a.jsonl", "--mixture", "b.yaml"]])
def test_sources_are_named_in_one_way(tmp_path, flags):
    with pytest.raises(UserError, match="--source and --mixture are both"):
        build(tmp_path / "out", *flags)


def test_processes_are_started_after_rensa_has_started_threads(tmp_path):
    """In a process of its own: forked processes waited for ever."""
    write_jsonl(tmp_path / "rows.jsonl", rows(6000))
    code = (
        "from data_prep.build_instructions import main\n"
        "for n in (1, 2):\n"
        f"    flags = ['--source', {str(tmp_path / 'rows.jsonl')!r}, '--num_proc', str(n)]\n"
        f"    main([*flags, '--output', {str(tmp_path)!r} + f'/{{n}}'])\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, timeout=100)
    assert read_manifest(tmp_path / "1")["n_rows"] == read_manifest(tmp_path / "2")["n_rows"]
