"""The inspection in a terminal, by rich; plain text where the output is no terminal."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from data_prep.dataset_folder.excerpts import RowExcerpt
from data_prep.inspection.inspecting import Inspection
from data_prep.inspection.logs import N_EXAMPLES
from data_prep.inspection.problems import counted, problems_of
from data_prep.inspection.word_diff import Piece
from pipelines.files.visible_text import listed, one_line

_PLAIN_WIDTH, _MAX_WIDTH = 100, 120
_BLOCKS = " ▁▂▃▄▅▆▇█"
_EXCERPT, _MAX_LINE, _N_ITEMS, _N_PAIRS = 160, 600, 12, 3
_STYLES = {"same": "", "removed": "red strike", "added": "green underline"}
_MARKS = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}


def print_inspection(found: Inspection, stream: TextIO) -> None:
    """Print the inspection on `stream`; without colors and 100 columns wide where it is no terminal."""
    if stream.isatty():
        console = Console(file=stream, highlight=False)
        console.width = min(console.width, _MAX_WIDTH)
        _print(found, console)
    else:
        text = io.StringIO()
        _print(found, Console(file=text, width=_PLAIN_WIDTH, highlight=False))
        stream.writelines(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _print(found: Inspection, console: Console) -> None:
    left_out = f"{found.n_rejected:,} left out"
    read = f" of {found.manifest['n_read']:,} read" if "n_read" in found.manifest else ""
    title = f"{found.name}: {found.n_rows:,} rows of kind {found.manifest['kind']}{read}, {left_out}"
    console.print(_line((title, "bold")))
    console.print(_line((f"columns: {', '.join(found.manifest['columns'])}", "")))
    for part in (_problems, _splits, _lengths, _words, _sources, _repeats, _rejects, _changes, _pairs):
        part(console, found)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold"))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Padding:
    """A table without lines; names that begin with `#` are figures, right-aligned."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        is_figure = name.startswith("#")
        table.add_column(name.lstrip("#"), justify="right" if is_figure else "left", no_wrap=is_figure, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell, _EXCERPT)) for cell in row))
    return _indented(table)


def _indented(shown: RenderableType, n_columns: int = 2) -> Padding:
    return Padding(shown, (0, 0, 0, n_columns), expand=False)


def _line(*parts: tuple[str, str]) -> Text:
    """(text, style) pairs on one line with spaces between them, each text cut to a length and visible."""
    return Text(" ").join(Text(one_line(text, _MAX_LINE), style) for text, style in parts if text)


def _problems(console: Console, found: Inspection) -> None:
    problems = problems_of(found)
    if problems:
        _heading(console, "What looks wrong")
        for problem in problems:
            console.print(_indented(_line((f"- {problem}", "red"))))


def _splits(console: Console, found: Inspection) -> None:
    _heading(console, "Splits")
    rows = [
        (one.name, f"{one.n_rows:,}", f"{one.n_groups:,}",
         "" if one.effective_groups is None else f"{one.effective_groups:,.1f}")
        for one in found.splits
    ]  # fmt: skip
    console.print(_table(("split", "#rows", "#groups", "#effective"), rows))


def _lengths(console: Console, found: Inspection) -> None:
    _heading(console, "Lengths in characters and words (turns in messages)")
    rows = []
    for role, counts in found.characters.items():
        for unit, one in (("characters", counts), ("words", found.words[role])):
            if role == "turns":
                unit = "messages"
            if role != "turns" or one is counts:
                rows.append((role, unit, *(f"{one[name]:,}" for name in ("p5", "p50", "p95", "max")), _spark(one)))
    console.print(_table(("role", "unit", "#p5", "#p50", "#p95", "#max", "histogram"), rows))


def _spark(counts: Mapping[str, Any]) -> str:
    """One block for each bar of the histogram; a bar with any count is visible."""
    largest = max(count for _, count in counts["histogram"])
    bars = (-(-count * (len(_BLOCKS) - 1) // largest) for _, count in counts["histogram"])
    return "".join(_BLOCKS[bar] for bar in bars)


def _words(console: Console, found: Inspection) -> None:
    languages = [f"{name} {n / found.languages.n_sampled:.1%}" for name, n in found.languages.counts[:_N_ITEMS]]
    unsure = [f"unsure {found.languages.n_unsure / found.languages.n_sampled:.1%}"] if found.languages.n_unsure else []
    _heading(console, f"Languages of {found.languages.n_sampled:,} sampled texts")
    console.print(_indented(Text(", ".join([*languages, *unsure]))))
    if found.openings:
        _heading(console, "First words of questions")
        words = [f"{words} {n / found.n_rows:.1%}" for words, n in found.openings]
        console.print(_indented(_line((", ".join(words), ""))))


def _sources(console: Console, found: Inspection) -> None:
    _heading(console, "Sources")
    rows = [
        (one.name, "" if one.n_read is None else f"{one.n_read:,}", f"{one.n_kept:,}", f"{one.share:.1%}", one.license,
         ", ".join(f"{reason} {n:,}" for reason, n in list(one.rejected.items())[:4]))
        for one in found.sources[:_N_ITEMS]
    ]  # fmt: skip
    console.print(_table(("source", "#read", "#kept", "#share", "license", "left out"), rows))
    _more(console, len(found.sources))


def _repeats(console: Console, found: Inspection) -> None:
    _heading(console, "Groups and repeats")
    n_rows, n_questions = found.n_repeated_rows, found.n_repeated_questions
    counts = f"rows that repeat an earlier row: {n_rows:,}; an earlier question: {n_questions:,}"
    console.print(_indented(Text(counts)))
    for title, shared in (("largest groups", found.groups), ("most frequent answers", found.answers)):
        if shared:
            rows = [(f"{one.n_rows:,}", f"{one.share:.1%}", one.title, one.example) for one in shared[:5]]
            console.print(_table(("#rows", "#share", title, "first row"), rows))


def _rejects(console: Console, found: Inspection) -> None:
    _heading(console, "Left out, by reason")
    for reason in found.reasons[:_N_ITEMS]:
        sources = listed([f"{name} {n:,}" for name, n in list(reason.by_source.items())[:4]])
        head = _line((reason.reason, "bold"), (counted(reason.n_rows, "row"), ""), (sources, "dim"))
        console.print(_indented(head))
        for example in reason.examples[:N_EXAMPLES]:
            shown = _joined(example.texts) or example.details or "its text is not recorded"
            line = _line((f"{example.place}:", "dim"), (shown, ""))
            console.print(_indented(line, 4))
    if not found.reasons:
        console.print(_indented(Text("no row was left out")))
    _more(console, len(found.reasons))


def _changes(console: Console, found: Inspection) -> None:
    if not found.changes:
        return
    _heading(console, "Changed, by step")
    for change in found.changes[:_N_ITEMS]:
        counts = ", ".join(f"{what} {n:,}" for what, n in list(change.counts.items())[:_N_ITEMS])
        head = _line((change.step, "bold"), (counted(change.n_rows, "row"), ""), (counts, "dim"))
        console.print(_indented(head))
        for example in change.examples[:N_EXAMPLES]:
            place = Text(f"{example.place}: ", "dim")
            console.print(_indented(place + _diff(example.pieces, console.is_terminal), 4))


def _pairs(console: Console, found: Inspection) -> None:
    if not found.pairs:
        return
    _heading(console, "Near duplicates left out (the least similar first; kept row against the one left out)")
    for pair in found.pairs[:_N_PAIRS]:
        console.print(_indented(_line((f"{pair.similarity:.2f} {pair.place}, kept: {pair.kept_place}", "dim"))))
        if pair.pieces:
            console.print(_indented(_diff(pair.pieces, console.is_terminal), 4))
        else:
            console.print(_indented(_line(("only one text is in this folder:", "dim"), (_joined(pair.texts), "")), 4))
    _more(console, len(found.pairs), _N_PAIRS)


def _joined(texts: Sequence[RowExcerpt]) -> str:
    return one_line(" | ".join(one.text for one in texts[:4]), _EXCERPT)


def _diff(pieces: Sequence[Piece], color: bool) -> Text:
    """The pieces on one line: styled in a terminal, else with the marks of `git diff --word-diff`."""
    shown = Text()
    for piece in pieces:
        text = " ".join(piece.text.split("\n"))
        shown.append(text if color else _MARKS[piece.kind].format(text), _STYLES[piece.kind])
    shown.truncate(3 * _EXCERPT, overflow="ellipsis")
    return shown


def _more(console: Console, n_items: int, n_shown: int = _N_ITEMS) -> None:
    if n_items > n_shown:
        console.print(_indented(Text(f"and {n_items - n_shown} more: see --output page.html", "dim")))
