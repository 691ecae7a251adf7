import pytest

from pipelines.evaluation.likelihood.documents import Documents, Scope
from pipelines.evaluation.perplexity.measurement import Reading, measure
from pipelines.evaluation.prompts.prompt import Response
from pipelines.hub.model_ref import ModelRef
from pipelines.modeling import PromptStyle

ROWS = [Response("Write f(x).", "def f(x):\n    return x"), Response("Say it in German.\n\nblue", "blau")]
TEXTS = Documents([row.text for row in ROWS], ["a", None])
ANSWERS = Documents(ROWS, ["a", None])
STYLES = {Scope.TEXT: TEXTS, Scope.RESPONSE: ANSWERS}


def test_a_base_is_given_the_plain_prompt_and_the_template_of_the_model_after_it(untemplated, tiny_model_folder):
    found = measure([ModelRef(str(untemplated)), ModelRef(str(tiny_model_folder))], STYLES, Reading())
    assert [(one.model, one.scope, one.prompt_style) for one in found] == [
        ("base", Scope.TEXT, None), ("base", Scope.RESPONSE, PromptStyle.PLAIN),
        ("base", Scope.RESPONSE, PromptStyle.CHAT), ("tiny", Scope.TEXT, None),
        ("tiny", Scope.RESPONSE, PromptStyle.CHAT),
    ]  # fmt: skip
    assert found[2].documents == found[4].documents, "equal weights behind an equal template are equally good"
    assert found[1].documents != found[2].documents


def test_without_any_template_a_base_is_measured_plain_and_that_is_said(untemplated, capsys):
    found = measure([ModelRef(str(untemplated))], {Scope.RESPONSE: ANSWERS}, Reading())
    assert [one.prompt_style for one in found] == [PromptStyle.PLAIN]
    assert "base: plain prompts only, no template" in capsys.readouterr().err


def test_models_of_one_base_are_measured_together_and_kept_in_order(untemplated, tiny_model_folder, capsys):
    choices = [ModelRef(str(folder)) for folder in (untemplated, tiny_model_folder, untemplated)]
    found = measure(choices, {Scope.TEXT: TEXTS}, Reading())
    assert [one.model for one in found] == ["base", "tiny", "base_2"]
    assert found[0].documents == found[2].documents
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("measuring")]
    assert lines == ["measuring base", "measuring base_2", "measuring tiny"]


def test_a_text_in_passages_is_read_on_and_one_in_documents_begun_anew(tiny_model_folder):
    choices = [ModelRef(str(tiny_model_folder))]
    on, anew = (
        measure(choices, {Scope.TEXT: Documents(TEXTS.items, TEXTS.sources, follow_on)}, Reading())[0].documents
        for follow_on in (True, False)
    )
    assert on[0].nll_nats == pytest.approx(anew[0].nll_nats)
    assert on[1].nll_nats != pytest.approx(anew[1].nll_nats)
