import json
from dataclasses import replace

import pytest

from data_prep.building import cleaner as cleaner_module
from data_prep.building.cleaner import Cleaner
from data_prep.cleaning.registry import ROW_STEPS, ChosenStep
from data_prep.cleaning.step import Changed, NoOptions, Rejected, RowStep
from data_prep.dataset_folder import RejectedRow
from data_prep.sources import SourceRow, group_of_question, same_as_of


def row(output="Fine.", **fields):
    fields = {"instruction": "Say it.", "input": "", "output": output, **fields}
    return SourceRow(fields, "toy", "1", "g", same_as_of(fields))


def cleaner_of(monkeypatch, **functions):
    """A cleaner of steps made of plain functions."""
    steps = {name: RowStep(name, "", lambda _, function=function: function) for name, function in functions.items()}
    monkeypatch.setattr(cleaner_module, "ROW_STEPS", steps)
    return Cleaner([ChosenStep(name, NoOptions()) for name in functions])


def replace_word(old, new, is_secret=False):
    def step(texts):
        n_found = sum(one.text.count(old) for one in texts)
        return Changed([one.text.replace(old, new) for one in texts], {new: n_found}, is_secret) if n_found else None

    return step


def test_steps_run_in_order_and_each_change_has_its_count_and_excerpts(monkeypatch):
    cleaner = cleaner_of(monkeypatch, first=replace_word("a", "b"), second=replace_word("b", "c"))
    cleaned, changes, _ = cleaner.clean(row("banana"))
    assert cleaned.fields["output"] == "ccncnc"
    assert [(one.step, one.counts) for one in changes] == [("first", {"b": 4}), ("second", {"c": 5})]
    assert changes[0].to_json(row()) == {
        "source": "toy", "source_row": "1", "step": "first", "counts": {"b": 4},
        "before": "Say it.", "after": "Sby it.",
    }  # fmt: skip
    assert cleaned.same_as == row("ccncnc", instruction="Scy it.").same_as, "duplicates are found after the changes"


def test_a_row_is_rejected_for_its_first_reason_with_step_details_and_content(monkeypatch):
    cleaner = cleaner_of(
        monkeypatch, first=lambda _: Rejected("bad", {"n_chars": 5}), second=lambda _: Rejected("worse")
    )
    rejected, changes, _ = cleaner.clean(row())
    assert isinstance(rejected, RejectedRow)
    assert rejected.to_json() == {
        "source": "toy", "source_row": "1", "reason": "bad", "step": "first", "n_chars": 5, "row": row().fields,
    }  # fmt: skip
    assert changes == []


def test_no_line_about_a_row_with_a_secret_holds_any_of_its_text(monkeypatch):
    secret = replace_word("s3cret", "<SECRET>", is_secret=True)
    cleaner = cleaner_of(monkeypatch, first=replace_word("Say", "Tell"), secrets=secret)
    cleaned, changes, _ = cleaner.clean(row("My key is s3cret."))
    assert cleaned.fields["output"] == "My key is <SECRET>."
    assert "s3cret" not in json.dumps([one.to_json(cleaned) for one in changes])
    assert [one.before for one in changes] == [None, None]


def test_a_row_rejected_before_its_secret_was_seen_is_written_without_content(monkeypatch):
    secret = replace_word("s3cret", "<SECRET>", is_secret=True)
    cleaner = cleaner_of(monkeypatch, first=lambda _: Rejected("bad"), secrets=secret)
    assert cleaner.clean(row("My key is s3cret."))[0].row is None
    assert cleaner.clean(row("My key is safe."))[0].row is not None


def test_a_document_is_never_copied_to_the_rejected_rows():
    steps = [ChosenStep("empty", NoOptions())]
    document = SourceRow({"text": " "}, "toy", "1", "g", b"")
    assert Cleaner(steps).clean(document)[0] == RejectedRow("toy", "1", "empty_text", None, {"step": "empty"})


@pytest.mark.parametrize("place", [0, 150, 5000])
def test_an_excerpt_shows_the_first_difference(monkeypatch, place):
    text = "x" * place + "OLD" + "y" * 5000
    _, [change], _ = cleaner_of(monkeypatch, step=replace_word("OLD", "NEW")).clean(row(text))
    assert "OLD" in change.before
    assert "NEW" in change.after
    assert len(change.before) <= 200


def test_every_registered_step_has_a_description():
    assert all(step.description for step in ROW_STEPS.values())


def test_an_excerpt_among_the_details_is_left_out_if_the_row_holds_a_secret(monkeypatch):
    cleaner = cleaner_of(
        monkeypatch,
        first=lambda texts: Rejected("bad", {"n_chars": 5, "excerpt": texts[-1].text[:12]}),
        secrets=replace_word("s3cret", "<SECRET>", is_secret=True),
    )
    rejected, _, _ = cleaner.clean(row("My key is s3cret."))
    assert rejected.details == {"step": "first", "n_chars": 5}
    assert rejected.row is None
    rejected, _, _ = cleaner.clean(row("My key is lost."))
    assert rejected.details["excerpt"] == "My key is lo"


def test_the_group_follows_from_the_cleaned_question_unless_the_row_has_its_own(monkeypatch):
    cleaner = cleaner_of(monkeypatch, step=replace_word("AT&amp;T", "AT&T"))
    raw, clean = row(instruction="Who leads AT&amp;T?"), row(instruction="Who leads AT&T?")
    raw, own = replace(raw, group=group_of_question(raw.fields)), replace(raw, group="module")
    assert cleaner.clean(raw)[0].group == group_of_question(clean.fields)
    assert cleaner.clean(own)[0].group == "module"
