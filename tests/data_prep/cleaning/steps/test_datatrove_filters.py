"""datatrove's filters as cleaning steps."""

from dataclasses import fields
from importlib.util import find_spec
from inspect import signature

import pytest

from data_prep.cleaning.registry import read_steps
from data_prep.cleaning.step import Changed, Rejected
from data_prep.cleaning.steps import datatrove_filters
from data_prep.cleaning.steps.datatrove_filters import STEPS
from pipelines.errors import UserError
from tests.data_prep.cleaning.steps.rows import verdict as verdict_of

needs_datatrove = pytest.mark.skipif(find_spec("datatrove") is None, reason="needs the extra scale")

LETTER = (
    "The harbor was quiet when the ferry came in, and the two clerks who had to count the crates stood with their "
    "lists in the rain. Nobody had told them that half of the cargo would be left behind in the north. They waited "
    "until the captain came down, and he said that the ice had closed the river a week before anyone expected it.\n"
    "So the flour went to the bakers in the old town, and the wool had to wait for the train on Monday.\n"
    "It would be spring before the rest of it arrived, and by then nobody remembered what the clerks had written."
)


def verdict(name, text, **options):
    return verdict_of(STEPS, name, {"text": text}, **options)


@needs_datatrove
def test_ordinary_prose_passes_all_four_filters():
    assert [one.name for one in STEPS if verdict(one.name, LETTER) is not None] == []


@needs_datatrove
@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("gopher_quality", "Too short to teach anything.", "gopher_short_doc"),
        ("gopher_repetition", "Buy now and save money today.\n" * 30, "dup_line_frac"),
        ("c4_quality", LETTER + "\nfunction start() { return 1 }.", "curly_bracket"),
        ("c4_quality", "One sentence is here. And a second.", "too_few_sentences"),
        ("fineweb_quality", "\n".join(f"Item {n}" for n in range(40)), "line_punct_ratio"),
    ],
)
def test_a_filter_gives_its_own_reason(name, text, reason):
    assert verdict(name, text) == Rejected(reason)


@needs_datatrove
def test_lines_that_c4_removes_are_counted():
    changed = verdict("c4_quality", "Home | About | Contact\n" + LETTER)
    assert isinstance(changed, Changed)
    assert changed.counts == {"removed_lines": 1}
    assert "Contact" not in changed.texts[0]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_options_are_the_arguments_of_datatroves_class_with_its_defaults(step):
    filters = pytest.importorskip("datatrove.pipeline.filters")
    arguments = signature(getattr(filters, step.make.args[1])).parameters.values()
    theirs = {one.name: one.default for one in arguments if one.name != "exclusion_writer"}
    assert {one.name: one.default for one in fields(step.options)} == theirs


@needs_datatrove
def test_an_option_changes_the_verdict():
    assert verdict("gopher_quality", LETTER, min_doc_words=500) == Rejected("gopher_short_doc")


def test_the_steps_file_may_give_shares_of_n_grams(tmp_path):
    (tmp_path / "steps.yaml").write_text("- gopher_repetition: {top_n_grams: [[2, 0.05], [3, 1]]}\n")
    [chosen] = read_steps(tmp_path / "steps.yaml")
    assert chosen.options.top_n_grams == ((2, 0.05), (3, 1))
    (tmp_path / "steps.yaml").write_text("- gopher_repetition: {top_n_grams: [2, 0.05]}\n")
    with pytest.raises(UserError, match="top_n_grams of gopher_repetition"):
        read_steps(tmp_path / "steps.yaml")


def test_a_wrong_option_is_answered_with_the_nearest_one(tmp_path):
    (tmp_path / "steps.yaml").write_text("- gopher_quality: {min_doc_word: 20}\n")
    with pytest.raises(UserError, match="did you mean min_doc_words"):
        read_steps(tmp_path / "steps.yaml")


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(datatrove_filters.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs datatrove and spacy, .*; pip install -e '\.\[scale\]'"):
        verdict("c4_quality", LETTER)


@needs_datatrove
def test_a_document_without_words_is_rejected_not_divided_by():
    assert verdict("gopher_quality", " \n", min_doc_words=None) == Rejected("no_words")


@needs_datatrove
def test_a_language_without_a_word_splitter_is_named():
    with pytest.raises(UserError, match=r"language is 'xx'.*such as eng"):
        verdict("gopher_quality", LETTER, language="xx")


@needs_datatrove
def test_a_document_that_memory_cannot_split_into_words_is_rejected_with_its_length(monkeypatch):
    monkeypatch.setattr(datatrove_filters, "MAX_CHARS", 100)
    assert verdict("gopher_quality", LETTER) == Rejected("too_long_for_filter", {"n_chars": len(LETTER)})
