"""Corpora: headers and footers, documents that are nearly alike."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest

from pipelines.preflight.checks import checks_of
from pipelines.records.finding import Finding, Severity
from tests.planted_faults.sample_rows import documents, rows_in
from tests.preflight.contexts import findings_by_id, pretraining_context, severities, write_jsonl

WARNING, NOTE = Severity.WARNING, Severity.NOTE
TEXTS = [row["text"] for row in documents(rows_in("english"), 2)]
APACHE = (
    "# Copyright 2024 The Authors. All rights reserved.\n#\n# Licensed under the Apache License, Version 2.0\n"
    '# you may not use this file except in compliance with the License.\n# distributed on an "AS IS" BASIS,\n'
)
findings_of = partial(findings_by_id, checks_of("corpora"))


@pytest.fixture
def found(base, tmp_path):
    def of(texts: Sequence[str]) -> dict[str, Finding]:
        path = write_jsonl(tmp_path / "texts.jsonl", texts)
        context = pretraining_context(
            tmp_path / "run", dataset_name=str(path), model_name_or_path=str(base), max_length=64
        )
        return findings_of(context)

    return of


REPEATED: dict[str, Callable[[int, str], str]] = {
    "a header": lambda _, text: f"The Village Post, all pages\n{text}",
    "a footer with numbers": lambda n, text: f"{text}\n\nPage {n} of 48, printed on 3.{n % 12}.2024",
    "a footer under half of them": lambda n, text: f"{text}\n\nSubscribe to our newsletter!" if n % 2 else text,
    "no line break after it": lambda _, text: "This is a free sample of the collected notes and answers; " + text,
    "Russian": lambda _, text: f"Главная | Новости | Контакты | Войти\n{text}",
}


@pytest.mark.parametrize("change", REPEATED.values(), ids=REPEATED)
def test_what_most_documents_begin_or_end_with_is_found(change, found):
    assert severities(found([change(n, text) for n, text in enumerate(TEXTS)])) == {"DOCUMENT_BOILERPLATE": WARNING}


NOT_REPEATED: dict[str, Callable[[int, str], str]] = {
    "nothing": lambda _, text: text,
    "numbered titles": lambda n, text: f"Chapter {n} of the collected notes\n{text}",
    "a header in a fifth of them": lambda n, text: f"The Village Post, all pages\n{text}" if n % 5 == 0 else text,
    "short headings": lambda _, text: f"Summary\n{text}\nThe End",
    "imports": lambda _, text: f"from __future__ import annotations\n{text}",
    "a form": lambda n, text: f"On day {n} it was {n % 9} degrees, with {n * 3 % 8} hours of rain.\n{text[:30]}",
}


@pytest.mark.parametrize("change", NOT_REPEATED.values(), ids=NOT_REPEATED)
def test_titles_headings_and_forms_are_no_boilerplate(change, found):
    assert "DOCUMENT_BOILERPLATE" not in found([change(n, text) for n, text in enumerate(TEXTS)])


def test_a_license_is_a_note_until_it_is_much_of_the_text(found):
    code = [f"{text}\n" * 20 for text in TEXTS]
    assert severities(found([APACHE + text for text in code])) == {"DOCUMENT_BOILERPLATE": NOTE}
    assert severities(found([APACHE + text for text in TEXTS])) == {"DOCUMENT_BOILERPLATE": WARNING}


LONG = [row["text"] for row in documents(rows_in("english"), 3)]


def test_documents_with_a_few_other_words_are_found_with_their_share(found):
    other = [text.replace(" the ", " that ", 1).replace(" and ", " & ", 1) for text in LONG]
    finding = found([*LONG, *other])["DOCUMENTS_NEARLY_ALIKE"]
    assert finding.severity is WARNING
    assert "%" in finding.summary
    assert severities(found([*LONG, *other[:1]])).get("DOCUMENTS_NEARLY_ALIKE") in (None, NOTE)


def test_exact_copies_are_left_to_the_check_of_copies(found):
    assert found([*LONG, *(f" {text.upper()}" for text in LONG)]) == {}
