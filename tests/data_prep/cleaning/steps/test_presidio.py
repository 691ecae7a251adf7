"""Names are found by presidio. The model here is an empty one with a list of names: no package index has a real one."""

import importlib.util

import pytest

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.steps import presidio
from data_prep.cleaning.steps.presidio import STEPS, PresidioOptions
from pipelines.errors import UserError

needs_presidio = pytest.mark.skipif(
    importlib.util.find_spec("presidio_analyzer") is None, reason="presidio-analyzer is not installed"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    spacy = pytest.importorskip("spacy")
    folder = tmp_path_factory.mktemp("model") / "names"
    nlp = spacy.blank("en")
    rules = [{"label": "PERSON", "pattern": "Ada Lovelace"}, {"label": "PERSON", "pattern": "Bo Ek"}]
    nlp.add_pipe("entity_ruler").add_patterns([*rules, {"label": "GPE", "pattern": "Paris"}])
    nlp.to_disk(folder)
    return str(folder)


@needs_presidio
def test_names_become_marks_and_other_types_are_left_alone(model):
    step = STEPS[0].make(PresidioOptions(model=model))
    texts = ["Ada Lovelace wrote to Bo Ek from Paris.", "Who is Ada Lovelace?", " "]
    found = step([RowText("user", text) for text in texts])
    assert list(found.texts) == ["<PERSON> wrote to <PERSON_2> from Paris.", "Who is <PERSON>?", " "]
    assert found.counts == {"person": 3}
    assert found.is_secret
    assert step([RowText("user", "Nobody lives in Paris.")]) is None


@needs_presidio
def test_an_unknown_type_is_refused_with_the_known_ones(model):
    with pytest.raises(UserError, match=r"unknown type 'persons'; choose from .*person"):
        STEPS[0].make(PresidioOptions(model=model, types=("persons",)))


@needs_presidio
@pytest.mark.parametrize("model", ["en_core_web_that_nobody_has", "./no/such/folder"])
def test_a_missing_model_is_refused_and_not_downloaded(model):
    with pytest.raises(UserError, match="is not installed; python -m spacy download"):
        STEPS[0].make(PresidioOptions(model=model))


def test_types_with_a_form_are_left_to_personal_data():
    with pytest.raises(UserError, match="email_address has a form; use the step personal_data"):
        STEPS[0].make(PresidioOptions(types=("person", "email_address")))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(presidio, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'base2instruct\[presidio\]'"):
        STEPS[0].make(PresidioOptions())
