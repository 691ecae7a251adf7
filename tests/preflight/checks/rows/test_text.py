"""The text itself: read in a wrong encoding, damaged or running on into a next task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.rows.text import broken_characters, mojibake, mojibake_in
from pipelines.preflight.checks.rows.trailing_turns import trailing_turns
from pipelines.records.finding import Finding, Severity
from tests.preflight.contexts import context_of, findings_by_id, rows_of

CHECKS = (mojibake, broken_characters, trailing_turns)

# What people write: none of it was read in a wrong encoding, and none of it is damaged.
HONEST = {
    "French": "« Où est le café\xa0? » À l'été, « Ô temps ! », l'œuvre d'ÉMILE…\xa0: naïve, garçon, olé…”, «CAFÉ»",
    "German": "Straße, „groß“, Spaß…, Äpfel, „Ä“, Übung – ‚Änderung‘, GRÖSSE”, 5 €, 20 °C, § 5, „naß…“",
    "Spanish": "«Aquí está…» ¿Qué? ¡AÑO! 1ª y 2º, señor; “olé…” está»…",
    "Portuguese": "NÃO, SÃO, AMANHÃ… MAÇÃ” “IRMÔ, AMANHÃ—TALVEZ; a letra “Ô e a letra «Ã»; coração, AMANHÃ\xa0: 1ª",
    "Vietnamese": "Tiếng Việt: Đường, Ê-đê, Â-u, nước; TRÂN…, SÔNG”, “Ê”",
    "Turkish": "İstanbul'da ışık, ÂŞIK, âşık, ğ, şeker, kâğıt…”, RÜZGÂR”",
    "Polish": "Zażółć gęślą jaźń; ŁÓDŹ…, „Ó”",
    "Czech": "Když slyšíš…, víš”, příliš žluťoučký kůň; „ŘÍŠ…“",
    "Nordic": "Ål, Å… „Ä”, Østen, ÆØÅ”, það, Ðe, Å™ 10 Å—",
    "Romanian": "Și țară, în România…”, coborâ…”, hotărî”",
    "Greek": "Ελληνικά: α, β, π· Ψ «ναι»",
    "Russian": "Привет, Россия! «Ёлка», СССР… РФ — Русь, СЂ",
    "Ukrainian": "Її з’їзд, ґанок, є; «Рі» РІВНЕ",
    "Serbian": "Ђорђе, Љубљана, Њ, ћ, Џ",
    "Hebrew": "שלום ×2",
    "Arabic": "السلام عليكم، كيف الحال؟",
    "Chinese": "你好，世界！“引号”——……《书》",
    "Japanese": "こんにちは、ﾃｽﾄ。「括弧」",
    "Hindi": "नमस्ते दुनिया",
    "signs": "√2 ≈ 1.414, 2×3÷4 ± 0.5, α² + β³, ∑ x → ∞, x ≤ y, ½ + ¼, µm, Å, 3√a, √∂, ©®™ € £5 °C · • “q” 👍🏽 👩‍👩‍👧",
    "old text": "chapter one\n\x0c\nchapter two\twith tabs\r\n",
}
DAMAGED = [
    "café über naïve señor", "It’s “quoted” — isn’t it…", "5\xa0km, 20 °C, £5, ½", "voilà le travail", "AÑOS y más",
    "Привет, мир", "你好，世界", "السلام عليكم", "שלום עולם", "Ελληνικά", "Tiếng Việt", "zażółć się", "👍 ✔ ♫ ™",
    "π r²",
    "นี่คือ", "नमस्ते", "안녕하세요", "こんにちは",
]  # fmt: skip
RUNS_ON = "The sky is blue.\n##\n14. Instruction: Write a poem.\n14. Input:\n<noinput>\n14. Output:\nRoses are red."


def found_in(folder: Path, base: Path, rows: Sequence[Mapping[str, Any]], **keys: Any) -> dict[str, Finding]:
    return findings_by_id(CHECKS, context_of(folder, base, rows, **keys))


def misread_as(text: str, encoding: str) -> str:
    """`text` as it looks where its UTF-8 is read in `encoding`; bytes that this has not are read as Latin-1."""
    return "".join(
        bytes([byte]).decode(encoding, errors="ignore") or bytes([byte]).decode("latin-1") for byte in text.encode()
    )


def test_honest_text_of_many_languages_gives_no_finding(tmp_path, base):
    rows = [{"instruction": text, "output": f"{language}: {text}"} for language, text in HONEST.items()]
    assert not found_in(tmp_path, base, [*rows_of(40), *rows])


@pytest.mark.parametrize("text", DAMAGED)
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_text_read_in_a_western_encoding_is_told_with_what_it_means(text, encoding):
    found = mojibake_in(misread_as(text, encoding))
    assert found is not None
    [meant] = [one for one in text if repr(one) == found.split(" should read ")[1].split(": ")[0]][:1]
    assert repr(misread_as(meant, encoding)) in found


def test_text_read_as_cp1251_or_mac_roman_is_told():
    assert mojibake_in(misread_as("Привет, мир", "cp1251"))
    for encoding in ("cp1251", "mac-roman"):
        assert "should read '’'" in str(mojibake_in(misread_as("It’s", encoding)))


def test_rows_read_in_a_wrong_encoding_are_a_warning_and_many_of_them_an_error(tmp_path, base):
    rows = rows_of(60)
    rows[7]["output"] = "It is a cafÃ© in Paris, isnâ€™t it?"
    finding = found_in(tmp_path / "one", base, rows)["MOJIBAKE"]
    assert (finding.severity, finding.n_rows, finding.evidence[0].row) == (Severity.WARNING, 1, 7)
    assert "'Ã©' should read 'é'" in finding.evidence[0].text
    many = [
        {**row, "instruction": f"{row['instruction']} â€“ please"} if i % 3 == 0 else row for i, row in enumerate(rows)
    ]
    assert found_in(tmp_path / "many", base, many)["MOJIBAKE"].severity is Severity.ERROR


def test_text_about_encodings_and_code_that_mends_them_are_honest(tmp_path, base):
    rows = [
        {"instruction": "Why does my UTF-8 file show cafÃ©?", "output": "It is read as Latin-1: é became Ã©."},
        {"instruction": "Clean this string.", "output": "text = text.replace('â€™', \"'\").replace(\"Ã©\", 'e')"},
    ]
    assert not found_in(tmp_path, base, [*rows_of(40), *rows])


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\x00", "U+0000"), ("\x07", "U+0007"), ("\x1b[31m", "U+001B"), ("\x92", "U+0092"), ("\ufffd", "U+FFFD"),
        ("锟斤拷", "U+951F"),
    ],
)  # fmt: skip
def test_characters_that_are_no_text_are_found(tmp_path, base, character, name):
    rows = rows_of(60)
    rows[3]["output"] = f"It is{character} so."
    finding = found_in(tmp_path, base, rows)["BROKEN_CHARACTERS"]
    assert (finding.severity, finding.n_rows, finding.evidence[0].row) == (Severity.WARNING, 1, 3)
    assert name in finding.evidence[0].text


def test_many_broken_rows_are_an_error_and_invisible_characters_a_note(tmp_path, base):
    many = [{**row, "output": "It \ufffd"} if i % 10 == 0 else row for i, row in enumerate(rows_of(60))]
    assert found_in(tmp_path / "many", base, many)["BROKEN_CHARACTERS"].severity is Severity.ERROR
    invisible = [*rows_of(60), {"instruction": "\ufeffSay it.", "output": "It is so."}]
    finding = found_in(tmp_path / "mark", base, invisible)["BROKEN_CHARACTERS"]
    assert finding.severity is Severity.NOTE
    assert "prompt has U+FEFF" in finding.evidence[0].text


def test_answers_that_run_on_are_counted_in_rows(tmp_path, base):
    rows = rows_of(150)
    rows[40]["output"] = RUNS_ON
    finding = found_in(tmp_path / "one", base, rows)["ANSWER_RUNS_ON"]
    assert (finding.severity, finding.n_rows, finding.evidence[0].row) == (Severity.WARNING, 1, 40)
    assert "14. Instruction: Write a poem." in finding.evidence[0].text
    for row in rows[41:45]:
        row["output"] = RUNS_ON
    assert found_in(tmp_path / "five", base, rows)["ANSWER_RUNS_ON"].severity is Severity.ERROR


def test_a_rejected_answer_may_run_on(tmp_path, base):
    rows = [{"prompt": f"Why is sky {i} blue?", "chosen": f"It scatters {i}.", "rejected": RUNS_ON} for i in range(10)]
    assert not found_in(tmp_path / "rejected", base, rows, stage=Stage.DPO)
    exchanged = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    assert "ANSWER_RUNS_ON" in found_in(tmp_path / "chosen", base, exchanged, stage=Stage.DPO)
