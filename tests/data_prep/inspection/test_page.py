"""The page is self-contained, escaped, small and reproducible; the terminal shows text as text."""

import io
import random
import string
from html.parser import HTMLParser

import pytest

from data_prep.inspection.console import print_inspection
from data_prep.inspection.inspecting import inspect_folder
from data_prep.inspection.page import page, write_page
from tests.data_prep.inspection.conftest import HOSTILE, build, instruction, rejects

VOID = {"meta", "link", "br", "img", "input"}


class Reader(HTMLParser):
    """Elements with their attributes; `open` are those not closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.mistakes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(tag)


@pytest.fixture
def hostile(tmp_path):
    rows = [instruction(n, instruction=f"{HOSTILE} {n}", output=HOSTILE, source=HOSTILE) for n in range(40)]
    near = {"kept": {"source": HOSTILE, "source_row": "7"}, "similarity": 0.9, "row": {"instruction": HOSTILE}}
    rejected = (*rejects(HOSTILE, 3, row={HOSTILE: HOSTILE}, where=HOSTILE), *rejects("near_duplicate", 2, **near))
    changed = [{"source": HOSTILE, "source_row": "1", "step": HOSTILE, "counts": {HOSTILE: 1},
                "before": HOSTILE, "after": f"{HOSTILE} x"}]  # fmt: skip
    more = {"steps": [{"s": {HOSTILE: HOSTILE}}], "unread_columns": {HOSTILE: 2}, "licenses": [HOSTILE]}
    return inspect_folder(build(tmp_path / "out", rows, rejected=rejected, changed=tuple(changed), **more))


def terminal(found):
    stream = io.StringIO()
    print_inspection(found, stream)
    return stream.getvalue()


def test_every_element_is_closed_and_nothing_is_loaded(folder, hostile):
    for found in (inspect_folder(folder), hostile):
        read = Reader(page(found))
        assert (read.mistakes, read.open) == ([], [])
        loaded = [have[key] for _, have in read.elements for key in ("src", "href", "srcset") if key in have]
        assert all(target.startswith(("#", "data:")) for target in loaded)
        assert not {"script", "img", "iframe"} & {tag for tag, _ in read.elements}
        assert not [key for _, have in read.elements for key in have if key.startswith("on")]


def test_hostile_text_is_shown_as_text(hostile):
    text = page(hostile)
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7 * 7 }}" in text
    assert "⟨U+202E⟩" in text
    assert not {"\u202e", "\x1b"} & set(text)
    assert not {"\u202e", "\x1b"} & set(terminal(hostile))


def test_the_page_shows_counts_examples_pairs_and_the_command_without_paths(folder):
    text = page(inspect_folder(folder))
    for part in ("60 rows kept of 67 read", "7 left out", "empty_output", "<del>7</del>", "<ins>70</ins>", "max_length",
                 "No excerpts: what was removed is secret", "--source trips.jsonl"):  # fmt: skip
        assert part in text, part
    assert "/data/me" not in text


def test_a_key_in_a_row_is_not_repeated(tmp_path):
    key = "hf_" + "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=34))
    rows = [instruction(n, output=f"use {key}", group=key) for n in range(40)]
    lines = rejects("too_long", 1, row={"instruction": key}, kept={"source": "trips.jsonl", "source_row": "1"},
                    similarity=0.5)  # fmt: skip
    changed = ({"source": "s", "source_row": "1", "step": "x", "counts": {}, "before": key, "after": f"{key} "},)
    folder = build(tmp_path / "x", rows, rejected=lines, changed=changed)
    found = inspect_folder(folder)
    for shown in (page(found), terminal(found), (folder / "README.md").read_text()):
        assert key not in shown
        assert "HUGGING_FACE_TOKEN" in shown


def test_the_same_folder_gives_the_same_bytes(folder, tmp_path):
    for name in ("a.html", "b.html"):
        write_page(inspect_folder(folder), tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_page_stays_small_whatever_the_folder_holds(tmp_path):
    long = "<&" * 2_000
    rows = [instruction(n, output=long, group=long + str(n), source=f"s{n}") for n in range(60)]
    reasons = [line for n in range(60) for line in rejects(f"unknown_role: {n}{long}", 3, row={"x": [long] * 9})]
    changed = [{"source": "s", "source_row": "1", "step": f"step{n}", "counts": {f"{k}": 1 for k in range(99)},
                "before": long, "after": long[::-1]} for n in range(60)]  # fmt: skip
    found = inspect_folder(build(tmp_path / "x", rows, rejected=tuple(reasons), changed=tuple(changed)))
    assert len(page(found).encode()) < 2_000_000
    assert len(terminal(found)) < 100_000


def test_the_terminal_output_is_plain_where_it_is_no_terminal(folder):
    lines = terminal(inspect_folder(folder)).splitlines()
    assert lines[0] == "trips: 60 rows of kind instructions of 67 read, 7 left out"
    assert max(map(len, lines)) <= 100
    assert lines == [line.rstrip() for line in lines]
    text = "\n".join(lines)
    assert "[-cafÃ©-]{+café+}" in text
    assert "\x1b" not in text
    assert "empty_output 4 rows" in text
