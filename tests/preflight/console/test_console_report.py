"""What the terminal shows of an examination: all of a finding, in lines that fit, and nothing raw of a row."""

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len

from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks import CHECKS
from pipelines.preflight.console.console_report import finding_lines, report_lines
from pipelines.preflight.console.terminal import one_line, supports_color, token_text
from pipelines.preflight.run_checks import PreflightReport
from pipelines.records.finding import Evidence, Finding, LabelledToken, Severity
from tests.preflight.contexts import base_of, context_of, rows_of, without_codes

FINDING = Finding(
    "END_TOKEN_NOT_TRAINED",
    Severity.ERROR,
    "13 of 400 rows have no end token in the loss.",
    "A model that never sees where an answer ends never stops.",
    "set `eos_token: <|im_end|>`",
    evidence=(
        Evidence(
            "ends without it", 17, "train", (LabelledToken(" a\n", 5, True), LabelledToken("<|im_end|>", 2, False))
        ),
        Evidence("learning_rate: 1"),
    ),
    n_rows=13,
)
HOSTILE = (
    "\x1b[2J\x1b]0;mine\x07", "\u202eevil\u202c", "nul \x00", "\x9b31m", "a\rb\nc\td", "half \ud83d", "x" * 100_000,
    "<script>alert(1)</script>", "\u2028\u200b\ufeff",
)  # fmt: skip


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> CheckContext:
    """Twelve rows to train on, three held out."""
    folder = tmp_path_factory.mktemp("case")
    return context_of(folder, base_of("qwen", folder / "base"), rows_of(12), rows_of(3, "held out"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_finding_is_told_with_evidence_reason_and_remedy():
    assert finding_lines(FINDING, color=False) == [
        "ERROR   END_TOKEN_NOT_TRAINED",
        "    13 of 400 rows have no end token in the loss.",
        "    - row 17 of train: ends without it",
        "      [[·a⏎]]",
        "      <|im_end|>",
        "    - learning_rate: 1",
        "    why  A model that never sees where an answer ends never stops.",
        "    fix  set `eos_token: <|im_end|>`",
    ]


def test_a_certain_remedy_names_the_flag_that_does_it():
    lines = finding_lines(replace(FINDING, fix={"eos_token": "<|im_end|>"}), color=False)
    assert lines[-1] == "    fix  set `eos_token: <|im_end|>` (doctor.py --fix --write applies it)"


def test_colours_change_no_text():
    plain = finding_lines(replace(FINDING, evidence=FINDING.evidence[1:]), color=False)
    colored = finding_lines(replace(FINDING, evidence=FINDING.evidence[1:]), color=True)
    assert [without_codes(line) for line in colored] == plain
    assert colored[0].startswith("\x1b[1;31mERROR")


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")


def test_the_last_line_counts_findings_rows_and_checks(context):
    findings = (FINDING, FINDING, replace(FINDING, severity=Severity.WARNING), replace(FINDING, severity=Severity.NOTE))
    lines = report_lines(PreflightReport(context, findings), color=False)
    counted = "sft: 2 errors, 1 warning, 1 note; 12 of 12 training rows checked, 3 of 3 held-out rows"
    assert lines[-1] == f"{counted}; {len(CHECKS)} checks"
    assert lines.count("") == 4


def test_a_clean_recipe_is_one_line(context):
    assert report_lines(PreflightReport(context, ()), color=True) == [
        f"sft: nothing found; 12 of 12 training rows checked, 3 of 3 held-out rows; {len(CHECKS)} checks"
    ]


def test_notes_alone_alarm_nobody(context):
    lines = report_lines(PreflightReport(context, (replace(FINDING, severity=Severity.NOTE),)), color=False)
    assert lines[-1].startswith("sft: no errors, no warnings, 1 note; ")


def test_a_sample_says_how_to_see_every_row(context):
    many = replace(context, train=replace(context.train, n_rows=52_002))
    line = report_lines(PreflightReport(many, ()), color=False)[-1]
    assert "12 of 52002 training rows checked (--all for every row), 3 of 3 held-out rows" in line


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_of_a_row_reaches_the_terminal_raw(text):
    token = LabelledToken(text, 1, True)
    evidence = Evidence(text, 1, text, (token, token))
    finding = replace(FINDING, summary=f"{text} is there", why=text, remedy=text, evidence=(evidence,))
    for line in finding_lines(finding, color=False):
        assert all(character.isprintable() for character in line), repr(line)
        line.encode("utf-8")
    assert not any("\x1b[2J" in line or "\x07" in line for line in finding_lines(finding, color=True))
    evidence_only = finding_lines(replace(FINDING, evidence=(evidence,)), color=False)
    assert sum(map(len, evidence_only)) < 2_000


def test_lines_fit_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    finding = replace(FINDING, summary="一二三四五" * 20, evidence=(Evidence("many words " * 30, 3, "held-out"),))
    lines = finding_lines(finding, color=False)
    assert max(map(cell_len, lines)) <= 50
    assert all(line.startswith("    ") for line in lines[1:]), "a continued line stays in its block"


def test_colour_is_for_terminals_that_want_it(monkeypatch, tmp_path):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert supports_color(Terminal())
    assert not supports_color(io.StringIO())
    with (tmp_path / "log").open("w") as file:
        assert not supports_color(file)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not supports_color(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not supports_color(Terminal())


def test_white_space_and_what_has_no_width_can_be_seen():
    assert one_line("a\r\n\tb") == "a␍⏎→b"
    assert token_text(" a b") == "·a·b"
    assert token_text("\u200d") == "⟨U+200D⟩"
