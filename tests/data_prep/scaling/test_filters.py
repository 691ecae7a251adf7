"""datatrove's filters as cleaning steps."""

import pytest

pytest.importorskip("datatrove", reason="needs the extra scale")
pytest.importorskip("spacy", reason="needs the extra scale")

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Changed, Rejected
from data_prep.scaling import filters
from data_prep.scaling.filters import filter_steps
from pipelines.errors import UserError

LETTER = (
    "The harbor was quiet when the ferry came in, and the two clerks who had to count the crates stood with their "
    "lists in the rain. Nobody had told them that half of the cargo would be left behind in the north. They waited "
    "until the captain came down, and he said that the ice had closed the river a week before anyone expected it.\n"
    "So the flour went to the bakers in the old town, and the wool had to wait for the train on Monday.\n"
    "It would be spring before the rest of it arrived, and by then nobody remembered what the clerks had written."
)


def step(name, **options):
    chosen = {one.name: one for one in filter_steps()}[name]
    return chosen.make(chosen.options(**options))


def verdict(name, text, **options):
    return step(name, **options)([RowText("text", text)])


def test_ordinary_prose_passes_all_four_filters():
    assert [one.name for one in filter_steps() if verdict(one.name, LETTER) is not None] == []


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


def test_lines_that_c4_removes_are_counted():
    changed = verdict("c4_quality", "Home | About | Contact\n" + LETTER)
    assert isinstance(changed, Changed)
    assert changed.counts == {"removed_lines": 1}
    assert "Contact" not in changed.texts[0]


def test_options_are_the_arguments_of_datatroves_class():
    assert verdict("gopher_quality", LETTER, min_doc_words=500) == Rejected("gopher_short_doc")
    with pytest.raises(TypeError, match="exclusion_writer"):
        step("gopher_quality", exclusion_writer=None)


def test_a_document_without_words_is_rejected_not_divided_by():
    assert verdict("gopher_quality", " \n", min_doc_words=None) == Rejected("no_words")


def test_a_language_without_a_word_splitter_is_named():
    with pytest.raises(UserError, match=r"language is 'xx'.*such as eng"):
        step("gopher_quality", language="xx")


def test_a_document_that_memory_cannot_split_into_words_is_rejected_with_its_length(monkeypatch):
    monkeypatch.setattr(filters, "MAX_CHARS", 100)
    assert verdict("gopher_quality", LETTER) == Rejected("too_long_for_filter", {"n_chars": len(LETTER)})
