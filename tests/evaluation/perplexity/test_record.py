import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.documents import Documents, Scope, refuse_without_sources
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
from pipelines.evaluation.perplexity.measurement import Measurement, Reading
from pipelines.evaluation.perplexity.record import perplexity_differences, perplexity_record, perplexity_results, table
from pipelines.modeling import PromptStyle


def measured(model: str, bits: Sequence[float], style: PromptStyle | None = None, n_bytes: int = 100) -> Measurement:
    documents = [DocumentLikelihood(one * math.log(2) * n_bytes, n_bytes // 4, n_bytes) for one in bits]
    return Measurement(model, f"models/{model}", Scope.RESPONSE if style else Scope.TEXT, style, documents)


BITS = np.random.default_rng(0).normal(2.0, 0.4, size=30)
ALL = [
    measured("base", list(BITS)), measured("base", list(BITS), PromptStyle.PLAIN),
    measured("base", list(BITS + 0.5), PromptStyle.CHAT), measured("tuned", list(BITS * 0.9)),
    measured("tuned", list(BITS * 0.8), PromptStyle.CHAT),
]  # fmt: skip


def test_each_model_is_compared_with_the_first_one_in_each_of_its_styles():
    found = perplexity_differences(ALL, seed=0)
    assert [(one["scope"], one["prompt_style"], one["against"], one["against_prompt_style"]) for one in found] == [
        ("text", None, "base", None), ("response", "chat", "base", "plain"), ("response", "chat", "base", "chat"),
    ]  # fmt: skip
    assert found[1]["bits_per_byte"]["value"] == pytest.approx(-0.2 * BITS.mean())
    assert found[1]["relative"]["value"] == pytest.approx(-0.2)
    assert (found[1]["relative"]["ci95"], found[1]["bits_per_byte"]["n"]) == (pytest.approx([-0.2, -0.2]), 30)


def test_results_hold_what_the_metric_computed():
    [result] = perplexity_results(ALL[:1], seed=0)
    assert result["bits_per_byte"] == pytest.approx(BITS.mean())
    assert result["perplexity"] == pytest.approx(2 ** (4 * BITS.mean()))
    assert (result["n_documents"], result["n_tokens"], result["n_bytes"]) == (30, 750, 3000)
    low, high = result["ci95"]["bits_per_byte"]
    assert low < result["bits_per_byte"] < high


def test_the_table_compares_with_the_first_model_at_its_better_prompt():
    text = table(perplexity_record(ALL, Reading(), {"path": "d"}, seed=0))
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["model", "scope", "prompt"]
    assert len(lines) == 1 + 5 + 2 + 2
    assert lines[7].startswith("tuned (chat) minus base (plain), response: -0.")
    assert lines[7].endswith("-20.0% [-20.0%, -20.0%]")


def test_by_source_each_source_of_two_documents_has_results_and_differences_of_its_own():
    sources = ["b", "a", "alone", *["b", "a"] * 13, "a"]
    both = [replace(one, sources=sources, condition="<s>") for one in (ALL[0], ALL[3])]
    record = perplexity_record(both, Reading(), {"path": "d"}, seed=0, by_source=True)
    n_documents = {(one["model"], one["source"]): one["n_documents"] for one in record["results"]}
    assert n_documents == {
        (name, of): n for name in ("base", "tuned") for of, n in {None: 30, "b": 14, "a": 15}.items()
    }
    in_a = np.array([source == "a" for source in sources])
    assert record["results"][2]["bits_per_byte"] == pytest.approx(BITS[in_a].mean())
    assert [(one["source"], one["bits_per_byte"]["n"]) for one in record["differences"]] == [
        (None, 30), ("b", 14), ("a", 15),
    ]  # fmt: skip
    assert record["differences"][2]["bits_per_byte"]["value"] == pytest.approx(-0.1 * BITS[in_a].mean())
    assert "tuned minus base, text of a: -0." in table(record)
    assert record["dataset"]["n_documents"] == 30


def test_without_by_source_the_sources_make_no_difference_and_rows_without_them_are_refused():
    record = perplexity_record([replace(ALL[0], sources=["a", "b"] * 15)], Reading(), {}, seed=0)
    assert [one["source"] for one in record["results"]] == [None]
    assert "source" not in table(record).splitlines()[0]
    with pytest.raises(UserError, match="--by_source needs the column `source` in each row"):
        refuse_without_sources([Documents(["a", "b"], [None, None])])


def test_the_condition_of_the_first_token_is_in_the_record_and_in_the_table():
    both = [replace(ALL[0], condition="<s>"), ALL[3]]
    record = perplexity_record(both, Reading(), {}, seed=0)
    assert record["condition"] == {"base": {"token": "<s>"}, "tuned": {"token": None}}
    assert record["n_processes"] == 1
    assert "base: the first token of a document was conditioned on <s>" in table(record).splitlines()
    assert "tuned: the first token of a document was not scored" in table(record)


def test_the_table_says_what_makes_a_figure_doubtful():
    documents = [DocumentLikelihood(3.0, 2, 4, n_context_cut=5), DocumentLikelihood(3.0, 2, 4, n_unknown=2)]
    one = Measurement("m", "m", Scope.RESPONSE, PromptStyle.PLAIN, documents)
    text = table(perplexity_record([one], Reading(), {}, seed=0))
    assert "m: 1 prompts were truncated at their left" in text
    assert "m: 2 tokens are the unknown token" in text


def test_other_bytes_and_documents_without_a_scored_token_are_errors():
    other = measured("other", list(BITS), n_bytes=99)
    with pytest.raises(UserError, match="scope text has 3000 bytes for base and 2970 for other, expected the same"):
        perplexity_results([ALL[0], other], seed=0)
    empty = Measurement("m", "m", Scope.TEXT, None, [DocumentLikelihood(1.0, 1, 1), DocumentLikelihood(0.0, 0, 0)])
    with pytest.raises(UserError, match="document 2 has no scored token under m"):
        perplexity_results([empty], seed=0)


def test_documents_of_one_group_are_resampled_together_and_counted():
    groups = [f"conversation {number // 2}" if number < 20 else None for number in range(30)]
    both = [replace(one, groups=groups) for one in (ALL[0], ALL[3])]
    record = perplexity_record(both, Reading(), {}, seed=0)
    for result, alone in zip(record["results"], perplexity_results(both[:1] + ALL[3:4], seed=0), strict=True):
        assert (result["n_documents"], result["n_groups"], result["effective_groups"]) == (30, 20, 18.0)
        assert result["bits_per_byte"] == alone["bits_per_byte"]
    [difference] = record["differences"]
    assert (difference["bits_per_byte"]["n"], difference["relative"]["n_groups"]) == (30, 20)
    assert "30 documents of scope text are in 20 groups (18.0 effective), which are resampled whole" in table(record)
    few = [replace(one, groups=["a", "b"] * 15) for one in both]
    assert "in 2 groups (2.0 effective), which are resampled whole: too few to claim" in table(
        perplexity_record(few, Reading(), {}, seed=0)
    )
    sourced = [replace(one, sources=["x", "y"] * 15) for one in both]
    by_source = perplexity_record(sourced, Reading(), {}, seed=0, by_source=True)["results"]
    assert [(one["n_documents"], one["n_groups"]) for one in by_source[1:3]] == [(15, 15), (15, 15)]


def test_one_result_of_each_model_and_scope_is_the_headline():
    results = perplexity_record(ALL, Reading(), {}, seed=0)["results"]
    found = [(one["model"], one["scope"], one["prompt_style"]) for one in results if one["is_headline"]]
    assert found == [
        ("base", "text", None), ("base", "response", "plain"), ("tuned", "text", None), ("tuned", "response", "chat"),
    ]  # fmt: skip
