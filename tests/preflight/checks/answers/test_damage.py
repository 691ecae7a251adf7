"""Damaged answers: text by text what is damage and what is not, and what counts in a set."""

import json
from functools import partial

import pytest

from pipelines.preflight.checks import checks_of
from pipelines.preflight.checks.answers.markup import escape_in, markup_in
from pipelines.preflight.checks.answers.not_text import code_in, loop_in
from pipelines.preflight.checks.answers.structured import form_of, python_in
from pipelines.records.finding import Severity
from tests.preflight.contexts import context_of, findings_by_id, rows_of, with_answers

findings_of = partial(findings_by_id, checks_of("answers"))
ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

ESCAPED = [
    r"First this.\nThen that.", r"One.\n\n- two\n- three", r"Zuerst das.\r\nÜber alles.", r"名前。\n場所。",
    r"def f(x):\n    return x\n\nprint(f(1))", r"He said \"yes\" and left.", r"I don\'t know.", r"Caf\u00e9 au lait",
    r'{\"name\": \"Anna\"}', r'"{\"name\": \"Anna\"}"', r"See https:\/\/example.org\/a",
]  # fmt: skip
NOT_ESCAPED = [
    ("Print two lines.", r'print("a\nB\nC")'), ("Where are they?", r"In C:\new\notes."),
    ("What ends a line?", r"The character \n does."), ("Which gradient?", r"\nabla f \neq \theta, G\"odel"),
    ("Give JSON.", json.dumps({"a": "one\nTwo"})), ("Write a regex.", r"^\d+\n$"),
    ("How?", "```\nprintf(\"a\\nB\")\n```"),
    ("How is it matched?", r"By `[\u4e00-\u9fff]`."), ("Show it.", "two\nlines \\\nof a shell"),
]  # fmt: skip


@pytest.mark.parametrize("answer", ESCAPED)
def test_an_escape_that_stands_for_a_character_is_found(answer):
    asked = "Write a function." if answer.startswith("def") else "Describe it."
    assert escape_in(asked, answer) is not None


@pytest.mark.parametrize(("asked", "answer"), NOT_ESCAPED)
def test_escapes_in_code_formulas_and_paths_are_text(asked, answer):
    assert escape_in(asked, answer) is None


@pytest.mark.parametrize(
    "answer",
    ["Tom &amp; Anna", "It&#39;s so.", "a&nbsp;b", "One.<br>Two.", "<p>One.</p><p>Two.</p>", "See <a href='x'>it</a>."],
)
def test_markup_in_prose_is_found(answer):
    assert markup_in("Who is it?", answer) is not None
    assert markup_in("Write it in HTML.", answer) is None


@pytest.mark.parametrize(
    "answer",
    ["AT&T; and R&D", "a < b and c > d", "| a | b<br>c |", "<!DOCTYPE html><html><p>x</p></html>", "Use `<b>` for it.",
     "```html\n<p>x</p>\n```", "x <y> z"],
)  # fmt: skip
def test_other_signs_are_no_markup(answer):
    assert markup_in("Who is it?", answer) is None


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ('{"a": 1}', "bare"), ('[{"a": 1}]', "bare"), ('{"a": 1}\n{"a": 2}', "bare"), ("[1, 2]", "bare"),
        ('```json\n{"a": 1}\n```', "fenced"), ('{"a": 1, "b', "truncated"), ('{"a": [1, 2', "truncated"),
        ('{"a": 1,}', "broken"), ('{"a": "x" "b": 1}', "broken"), ("{'a': 'x'}", "Python"),
        ('Here it is: {"a": 1}', "inside"), ("[1] According to it", "other"), ("[Verse 1]\nLa", "other"),
        ("{x | x > 1}", "other"), ("[link](url)", "other"), ("Yes.", "other"), ("", "other"),
    ],
)  # fmt: skip
def test_the_form_of_json_is_told(answer, form):
    assert form_of(answer) == form


@pytest.mark.parametrize("answer", ["['Paris']", "{'text': ['Paris'], 'start': [1]}", "['a' 'b']", "b'Paris'"])
def test_python_s_notation_is_found_where_nobody_asked_for_it(answer):
    assert python_in("What is the capital?", answer) is not None
    assert python_in("Write a Python list.", answer) is None


@pytest.mark.parametrize("answer", ["[1, 2]", '["Paris"]', "[Your Name]", "'Paris'", "{x: 'y'}", "[sic] it's ['so"])
def test_json_and_brackets_are_not_python(answer):
    assert python_in("What is the capital?", answer) is None


BASE64 = "VGhlIG5vdmVsIHdhcyB3cml0dGVuIGJ5IEphbmUgQXVzdGVuIGFuZCBwdWJsaXNoZWQgaW4gMTgxMy4gVGhl"


@pytest.mark.parametrize(
    "answer",
    [BASE64, f"{BASE64[:76]}\n{BASE64[:40]}==", f"![](data:image/png;base64,{BASE64})", "89 50 4e 47 0d 0a 1a 0a " * 4,
     "00000000: 8950 4e47 0d0a 1a0a 0000 000d 4948 4452  .PNG........IHDR and so on",
     "q8Zx#k2Lm!v9Tr@e4Wb$y7Nc%u1Hj^o5Pg&i3Sd*a6Fz(K0Q)m2XvB8nR"],
)  # fmt: skip
def test_codes_are_found_where_nobody_asked_for_them(answer):
    assert code_in("Who wrote it?", answer) is not None
    assert code_in("Encode it in base64.", answer) is None


@pytest.mark.parametrize(
    "answer",
    ["https://example.org/a8Kd92Lm/q7Xz/P0oL3vB8nR6tY5uJ4hG1fD2sA9kZ7xC",
     "for(let i=0;i<n;i++){s+=a[i];if(s>t){break}}",
     "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce", "ACGTACGTTAGC" * 10, "e4 e5 Nf3 Nc6 Bb5 " * 5,
     "光合作用是植物利用阳光把水和二氧化碳转变成糖并放出氧气的过程" * 4, "=" * 80,
     "3.1415926535897932384626433832795028841971",
     f"The key ssh-rsa {BASE64} anna@host is the public half, and the other one stays at home, of course.",
     "AbstractSingletonProxyFactoryBeanDefinitionReaderUtilities", "CC(=O)OC1=CC=CC=C1C(=O)OCC(=O)OC1=CC=CC=C1C(=O)O"],
)  # fmt: skip
def test_links_hashes_names_and_other_scripts_are_no_codes(answer):
    assert code_in("Who wrote it?", answer) is None


def test_loops_are_found_and_refrains_are_not():
    assert loop_in("Why?", "It is good. " + "It is also good for the roots of it. " * 9) is not None
    assert loop_in("Write a song.", "It is good. " + "It is also good for the roots of it. " * 9) is None
    assert (
        loop_in("Why?", "\n".join(f"Step {n} takes {n * 7} minutes and needs {n + 3} pans." for n in range(9))) is None
    )


REFUSALS = ["I'm sorry, but I can't help with that.", "As an AI language model, I do not have personal views."]
FOREIGN = [  # one of the requests is about a letter, which may refuse something
    "Es tut mir leid, aber dabei kann ich nicht helfen.",
    "Leider kann ich diese Frage nicht beantworten.",
    "Als KI-Sprachmodell kann ich diese Frage leider nicht beantworten.",
    "Desculpe, mas não posso ajudar com isso.",
    "Lo siento, pero no puedo ayudar con eso.",
    "Mi dispiace, ma non posso aiutarti.",
    "К сожалению, я не могу помочь.",
    "申し訳ありませんが、お手伝いできません。",
    "很抱歉，我无法回答这个问题。",
]
MARKED = [
    "### Response:\nIt is so.",
    "Assistant: It is so.",
    "It is so.</s>",
    "It is so.<|eot_id|>",
    "<|assistant|>\nYes.",
]
# answers of the first rows of 40, finding, severity, number of rows
COUNTED = [
    ([r"One.\nTwo."], "ANSWERS_ESCAPED", NOTE, 1), ([r"One.\nTwo."] * 2, "ANSWERS_ESCAPED", WARNING, 2),
    ([r"One.\nTwo."] * 8, "ANSWERS_ESCAPED", ERROR, 8), (["a &amp; b"] * 40, "MARKUP_IN_ANSWERS", WARNING, 40),
    (['{"a": 1}'] * 30 + ['{"a": '] * 2, "JSON_DOES_NOT_PARSE", WARNING, 2),
    (['{"a": 1, "b'] * 40, "JSON_DOES_NOT_PARSE", ERROR, 40), ([BASE64] * 8, "ANSWERS_NOT_TEXT", ERROR, 8),
    (REFUSALS * 3, "REFUSALS", WARNING, 6), (FOREIGN, "REFUSALS", WARNING, 8),
    ([f"As an AI language model, I have no past, but house {n} is old and red." for n in range(3)], "CANNED_OPENINGS",
     WARNING, 3), (MARKED[:3], "TURN_MARKS_IN_ANSWERS", WARNING, 3),
    (MARKED, "TURN_MARKS_IN_ANSWERS", ERROR, 5),
    ([f"Sure! Here is number {n} of the list." for n in range(20)], "CANNED_OPENINGS", WARNING, 20),
    ([f"当然！这是第{n}个问题的答案，请您仔细阅读之后再告诉我。" for n in range(20)], "CANNED_OPENINGS", WARNING, 20),
]  # fmt: skip


@pytest.mark.parametrize(("answers", "name", "severity", "n_rows"), COUNTED)
def test_the_number_of_rows_decides(base, tmp_path, answers, name, severity, n_rows):
    finding = findings_of(context_of(tmp_path, base, with_answers(*answers, n=40)))[name]
    assert (finding.severity, finding.n_rows) == (severity, n_rows)
    assert finding.evidence[0].row is not None


def test_refusals_of_what_is_harmful_are_wanted(base, tmp_path):
    rows = with_answers(*REFUSALS * 8, n=40)
    for row in rows[:8]:
        row["instruction"] = f"How do I build a bomb? {row['instruction']}"
    assert "REFUSALS" not in findings_of(context_of(tmp_path / "half", base, rows))
    few = with_answers(*REFUSALS, n=40)
    assert "REFUSALS" not in findings_of(context_of(tmp_path / "few", base, few))


@pytest.mark.parametrize("fenced", [1, 3, 8, 20])
def test_a_few_fences_are_another_form_and_many_are_meant(base, tmp_path, fenced):
    answers = [f'```json\n{{"n": {n}}}\n```' if n < fenced else f'{{"n": {n}}}' for n in range(40)]
    found = findings_of(context_of(tmp_path, base, with_answers(*answers, n=40)))
    assert ("JSON_DOES_NOT_PARSE" in found) == (fenced < 8)


def story(n: int) -> str:
    return f"{n} " + " ".join(f"word{(n * 7 + k) % 97}" for k in range(40 + n)) + "."


@pytest.mark.parametrize(
    ("cut", "limit"),
    [(lambda text: text[:301], "exactly 301 characters"), (lambda text: text[:120], "exactly 120 characters"),
     (lambda text: " ".join(text.split()[:50]), "exactly 50 words"), (lambda text: text[:297] + "...", "exactly 300"),
     (lambda text: " ".join(text.split()[: 44 + sum(map(ord, text)) % 4]), "exactly")],
)  # fmt: skip
def test_answers_cut_at_one_length_are_found(base, tmp_path, cut, limit):
    rows = [{"instruction": f"Tell story {n}.", "output": cut(story(n))} for n in range(-20, 40)]
    assert limit in findings_of(context_of(tmp_path, base, rows))["ANSWERS_END_ABRUPTLY"].summary


def test_a_limit_of_one_source_is_found_among_longer_answers(base, tmp_path):
    cut = [{"instruction": f"Tell story {n}.", "output": story(n)[:300]} for n in range(20, 50)]
    whole = [{"instruction": f"Tell tale {n}.", "output": story(n)} for n in range(-30, 60, 3)]
    finding = findings_of(context_of(tmp_path, base, [*cut, *whole]))["ANSWERS_END_ABRUPTLY"]
    assert "30 of 60 (50.0%) answers have exactly 300 characters, and end" in finding.summary


def test_whole_answers_and_hashes_of_one_length_are_not_cut(base, tmp_path):
    whole = [{"instruction": f"Tell story {n}.", "output": story(n)} for n in range(60)]
    assert not findings_of(context_of(tmp_path / "whole", base, whole))
    hashes = [{"instruction": f"Hash {n}.", "output": f"{n}" * 60 + "."} for n in range(1000, 1040)]
    assert not findings_of(context_of(tmp_path / "hashes", base, hashes))


def test_clean_rows_give_nothing(base, tmp_path):
    assert not findings_of(context_of(tmp_path, base, rows_of(60)))
