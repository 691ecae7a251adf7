"""Every kind of constraint followed and not, IFEval's rows, and rows that cannot be read."""

import json
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.metrics.constraint_kinds import KINDS
from pipelines.evaluation.metrics.constraints import IFEVAL_IDS, constraints_of, follows

ENGLISH = "the best way to learn how to swim is to take lessons every week"
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "n_words", "at_least": 3, "at_most": 4}, "one, two three", "one two"),
    ({"kind": "n_words", "at_most": 4}, "one two", "one two three four five"),
    ({"kind": "n_words", "exactly": 2}, "one two", "one"),
    ({"kind": "n_sentences", "exactly": 2}, "One. Two.", "One, two."),
    ({"kind": "n_paragraphs", "at_least": 2}, "one\n\ntwo", "one\ntwo"),
    ({"kind": "n_paragraphs", "exactly": 2, "separator": "***"}, "one\n***\ntwo\n***", "one *** *** two"),
    ({"kind": "n_bullets", "exactly": 2}, "Two:\n* one\n- two", "1. one\n2. two"),
    ({"kind": "n_items", "exactly": 2}, "1. one\n- two", "one\ntwo"),
    ({"kind": "keyword_frequency", "keyword": "sea", "exactly": 2}, "Sea and seaside", "sea"),
    ({"kind": "letter_frequency", "letter": "e", "at_most": 1}, "one", "three"),
    ({"kind": "n_capital_words", "at_least": 2}, "I say NO-ONE", "I say no"),
    ({"kind": "n_placeholders", "at_least": 2}, "[name] of [town]", "[name of town]"),
    ({"kind": "n_highlights", "at_least": 2}, "*one* and **two**", "** ** and *one*"),
    ({"kind": "n_sections", "heading": "Section", "at_least": 2}, "Section 1\na\nSection 2\nb", "Section A Section 1"),
    ({"kind": "includes", "words": ["sea", "Table Salt"]}, "table salt of the SEAS", "salt of the sea"),
    ({"kind": "excludes", "words": ["sea", "c++"]}, "seas, C", "C++!"),
    ({"kind": "one_of", "options": ["yes.", "no."]}, "My answer is no.", "Maybe."),
    ({"kind": "language", "language": "en"}, ENGLISH, "der beste Weg ist, jede Woche Stunden zu nehmen"),
    ({"kind": "json"}, '{"a": [1, null]}', "{'a': 1}"), ({"kind": "json"}, '```json\n["a"]\n```', "[NaN]"),
    ({"kind": "json", "keys": ["a", "b"]}, '{"a": 1, "b": 2, "c": 3}', '{"a": 1}'),
    ({"kind": "code_block"}, "So:\n```\nx\n```\nend", "```\nx"),
    ({"kind": "code_block", "language": "python"}, "```text\na\n```\n```Python\nx\n```", "```text\n```python\n"),
    ({"kind": "title"}, "<<A title>>\ntext", "<< >>"),
    ({"kind": "postscript", "marker": "P.S."}, "text\n\np. s. more", "text PS more"),
    ({"kind": "two_responses"}, "one\n******\ntwo", "one\n******\none"),
    ({"kind": "repeats_prompt", "prompt": "Say it."}, "  say it. It.", "It. Say it."),
    ({"kind": "starts_with", "phrase": "Dear"}, "dear me", "Oh dear"),
    ({"kind": "ends_with", "phrase": "The End."}, '"It is the end."', "The end. Or not"),
    (
        {"kind": "first_word_of_paragraph", "word": "then", "paragraph": 2, "n_paragraphs": 2}, 'first\n\n"Then, it',
        "then\n\nfirst",
    ),
    ({"kind": "upper_case"}, "ALL OF IT, 3 TIMES", "ALL of it"),
    ({"kind": "upper_case", "language": "en"}, ENGLISH.upper(), "DER BESTE WEG IST, JEDE WOCHE STUNDEN ZU NEHMEN"),
    ({"kind": "lower_case"}, "all of it", "All of it"), ({"kind": "no_commas"}, "one; two", "one, two"),
    ({"kind": "quotation"}, ' "quoted" ', '"'),
]  # fmt: skip


@pytest.mark.parametrize(("row", "followed", "not_followed"), CASES, ids=lambda case: str(case)[:40])
def test_a_kind_is_followed_and_is_not(row, followed, not_followed):
    (constraint,) = constraints_of({"constraints": [row]}, "row 1")
    assert follows(followed, constraint) is True
    assert follows(not_followed, constraint) is False
    assert follows(" \n", constraint) is False


def test_every_kind_has_a_case():
    assert {row["kind"] for row, _, _ in CASES} == KINDS.keys()


IFEVAL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "keywords:existence": ({"keywords": ["a"]}, {"words": ["a"]}),
    "keywords:frequency": ({"keyword": "a", "relation": "less than", "frequency": 3}, {"keyword": "a", "at_most": 2}),
    "keywords:forbidden_words": ({"forbidden_words": ["a"]}, {"words": ["a"]}),
    "keywords:letter_frequency": (
        {"letter": "a", "let_relation": "at least", "let_frequency": 3}, {"letter": "a", "at_least": 3},
    ),
    "language:response_language": ({"language": "de"}, {"language": "de"}),
    "length_constraints:number_sentences": ({"relation": "at least", "num_sentences": 2}, {"at_least": 2}),
    "length_constraints:number_paragraphs": ({"num_paragraphs": 2}, {"exactly": 2, "separator": "***"}),
    "length_constraints:number_words": ({"relation": "less than", "num_words": 9.0}, {"at_most": 8}),
    "length_constraints:nth_paragraph_first_word": (
        {"first_word": "a", "nth_paragraph": 1, "num_paragraphs": 2}, {"word": "a", "paragraph": 1, "n_paragraphs": 2},
    ),
    "detectable_content:number_placeholders": ({"num_placeholders": 2}, {"at_least": 2}),
    "detectable_content:postscript": ({"postscript_marker": "P.S."}, {"marker": "P.S."}),
    "detectable_format:number_bullet_lists": ({"num_bullets": 2}, {"exactly": 2}),
    "detectable_format:constrained_response": (
        {}, {"options": ["My answer is yes.", "My answer is no.", "My answer is maybe."]},
    ),
    "detectable_format:number_highlighted_sections": ({"num_highlights": 2}, {"at_least": 2}),
    "detectable_format:multiple_sections": (
        {"section_spliter": "Day", "num_sections": 2}, {"heading": "Day", "at_least": 2},
    ),
    "detectable_format:json_format": ({}, {}), "detectable_format:title": ({}, {}),
    "combination:two_responses": ({}, {}), "combination:repeat_prompt": ({"prompt_to_repeat": "a"}, {"prompt": "a"}),
    "startend:end_checker": ({"end_phrase": "a"}, {"phrase": "a"}), "startend:quotation": ({}, {}),
    "change_case:capital_word_frequency": ({"capital_relation": "at least", "capital_frequency": 2}, {"at_least": 2}),
    "change_case:english_capital": ({}, {"language": "en"}), "change_case:english_lowercase": ({}, {"language": "en"}),
    "punctuation:no_comma": ({}, {}),
}  # fmt: skip


def test_a_row_of_ifeval_is_read_with_the_empty_columns_of_its_table():
    assert tuple(IFEVAL) == IFEVAL_IDS
    assert len(IFEVAL) == 25
    everything = dict.fromkeys(name for given, _ in IFEVAL.values() for name in given)
    kwargs = [{**everything, **given} for given, _ in IFEVAL.values()]
    row = {"instruction_id_list": list(IFEVAL), "kwargs": kwargs, "prompt": "..."}
    found = constraints_of(row, "row 1")
    assert [one.name for one in found] == list(IFEVAL)
    assert [dict(one.arguments) for one in found] == [arguments for _, arguments in IFEVAL.values()]
    assert constraints_of({name: json.dumps(value) for name, value in row.items()}, "row 1") == found
    assert [one.asks_for_language for one in found] == ["language" in one.arguments for one in found]


def ifeval(id: str, **kwargs: Any) -> dict[str, Any]:
    return {"instruction_id_list": [id], "kwargs": [kwargs]}


def test_rows_without_constraints_have_none():
    for row in ({}, {"constraints": None}, {"constraints": []}, {"constraints": ""}, {"kwargs": [1]}):
        assert constraints_of(row, "row 1") == ()


def test_own_constraints_come_first_and_names_alone_will_do():
    own = '["title", {"kind": "json", "keys": null}]'
    row = {"constraints": own, "instruction_id_list": ["startend:quotation"], "kwargs": [{}]}
    found = constraints_of(row, "row 1")
    assert [(one.name, one.kind, dict(one.arguments)) for one in found] == [
        ("title", "title", {}), ("json", "json", {}), ("startend:quotation", "quotation", {}),
    ]  # fmt: skip


@pytest.mark.parametrize(("row", "problem", "fix"), [
    ({"constraints": ["jsn"]}, "unknown constraint 'jsn' in row 7", "use one of n_words, n_sentences"),
    ({"constraints": [{"kind": "n_words"}]}, "n_words in row 7 is missing at_least, at_most", "arguments are at"),
    ({"constraints": ["includes"]}, "includes in row 7 is missing words", "arguments are words"),
    ({"constraints": [{"kind": "title", "n": 1}]}, "title in row 7 has no argument 'n'", "arguments are none"),
    ({"constraints": [{"kind": "n_words", "at_most": "9"}]}, "row 7 is '9'", "a whole number of 0 or more"),
    ({"constraints": [{"kind": "n_words", "at_most": True}]}, "row 7 is True", "a whole number of 0 or more"),
    ({"constraints": [{"kind": "n_words", "at_most": -1}]}, "row 7 is -1", "a whole number of 0 or more"),
    ({"constraints": [{"kind": "excludes", "words": "sea"}]}, "words of excludes in row 7 is 'sea'", "a list of texts"),
    ({"constraints": [{"kind": "excludes", "words": []}]}, "words of excludes in row 7 is []", "a list of texts"),
    ({"constraints": [{"kind": "ends_with", "phrase": " "}]}, "row 7 is ' '", "text that is not empty"),
    ({"constraints": [{"kind": "language", "language": "German"}]}, "'German' in row 7 is not a language", "ISO 639-1"),
    ({"constraints": [3]}, "a constraint in row 7 is 3, expected an object", "{...}"),
    ({"constraints": {"kind": "title"}}, "'constraints' in row 7 is a dict, expected a list", "[...]"),
    ({"constraints": "title"}, "'constraints' in row 7 is not JSON", "list"),
    ({"constraints": "[" * 100_000}, "'constraints' in row 7 is not JSON", "list"),
    ({"constraints": [{"kind": ["a"]}]}, "unknown constraint ['a'] in row 7", "use one of"),
    (ifeval("keywords:exists"), "IFEval instruction 'keywords:exists' in row 7", "use one of keywords:existence"),
    ({"instruction_id_list": ["startend:quotation"]}, "row 7 has 0 entries in `kwargs` for 1", "give one for each"),
    (ifeval("length_constraints:number_words", num_words=3), "the relation None and the number 3", '"less than"'),
    (ifeval("length_constraints:number_words", relation="less than", num_words=0), "is -1", "a whole number"),
    (ifeval("startend:quotation", n=1), "startend:quotation in row 7 has no argument 'n'", "arguments are none"),
    (ifeval("startend:end_checker"), "startend:end_checker in row 7 is missing phrase", "arguments are phrase"),
])  # fmt: skip
def test_a_constraint_that_cannot_be_checked_is_an_error_of_one_line(row, problem, fix):
    with pytest.raises(UserError) as error:
        constraints_of(row, "row 7")
    assert problem in error.value.problem
    assert fix in error.value.fix
    assert "\n" not in str(error.value)
    assert "row 7" in error.value.problem
