"""Hostile text becomes text that can be looked at."""

import re

import pytest

from pipelines.files.visible_text import (
    excerpt,
    fenced,
    first_upper,
    listed,
    markdown_code,
    markdown_text,
    one_line,
    visible,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b", "a␀b"),
        ("\x1b[31mred", "␛[31mred"),
        ("\x7f", "␡"),
        ("\x85", "⟨U+0085⟩"),
        ("\u202eevil", "⟨U+202E⟩evil"),
        ("\u200f", "⟨U+200F⟩"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("zero\u200bwidth\ufeff", "zero⟨U+200B⟩width⟨U+FEFF⟩"),
        ("\ud800", "\ufffd"),
        ("one\r\ntwo\rthree", "one\ntwo␍three"),
    ],
)
def test_what_a_browser_hides_is_shown(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize("text", ["\tdef f():\n\t\treturn 1", "שלום عالم", "naïve 😀 👩‍💻", "a  b"])
def test_ordinary_text_of_any_language_is_left_alone(text):
    assert visible(text) == text


def test_an_excerpt_counts_what_it_hides():
    shown = excerpt("x" * 200_000, 4_000)
    assert (shown.text, shown.n_hidden) == ("x" * 4_000, 196_000)
    assert excerpt("short", 4_000).n_hidden == 0


def test_code_with_very_long_lines_is_known():
    assert excerpt("x" * 201, 4_000).has_long_lines
    assert not excerpt("x\n" * 300, 4_000).has_long_lines


def test_the_beginning_of_a_sentence_is_a_capital_but_a_name_stays():
    assert first_upper("stops on its own") == "Stops on its own"
    assert first_upper("P(end) inside") == "P(end) inside"
    assert first_upper("chrF") == "chrF"
    assert first_upper("") == ""


@pytest.mark.parametrize(("names", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_names_are_listed_as_one_says_them(names, text):
    assert listed(names) == text


def test_a_title_is_one_line():
    assert one_line("Write\n\n  a   function", 80) == "Write a function"
    assert one_line("word " * 100, 20) == "word word word word…"


@pytest.mark.parametrize("text", ["plain", "```python\nx\n```", "`" * 7, "a ```` b"])
def test_a_fence_is_longer_than_any_run_of_backticks(text):
    first, *_, last = fenced(text).split("\n")
    fence = re.match("`+", first)
    assert fence is not None
    assert last == fence[0]
    assert len(last) >= 3
    assert last not in text


@pytest.mark.parametrize("text", ["# mine", "## mine", "#", "- mine", "+ mine", "1. mine", "12) mine", "---", "- - -"])
def test_markdown_text_that_begins_a_line_is_no_heading_list_or_rule(text):
    markdown_it = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True})
    assert markdown_it.render(f"{markdown_text(text)}\n") == f"<p>{text}</p>\n"
    assert markdown_it.render(f"- {markdown_text(text)}\n") == f"<ul>\n<li>{text}</li>\n</ul>\n"


def test_markdown_text_has_no_markup_left():
    assert markdown_text("**a** | <b>\n[c](d) `e`") == r"\*\*a\*\* \| &lt;b&gt; \[c\](d) \`e\`"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@octocat", "@&#8203;octocat"),
        ("me@example.com", "me@&#8203;example.com"),
        ("owner/name#1 and GH-2", "owner/name#&#8203;1 and G&#8203;H-2"),
        ("https://example.com", "https:&#8203;//example.com"),
        ("WWW.example.com", "W&#8203;WW.example.com"),
        ("f @ 3, # of rows, a/b//c", "f @ 3, # of rows, a/b//c"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
    ],
)
def test_markdown_text_mentions_and_links_nobody(text, shown):
    assert markdown_text(text) == shown
    assert visible(markdown_text(text)) == shown


def test_markdown_code_survives_backticks_and_table_cells():
    assert markdown_code("a/b.json") == "`a/b.json`"
    assert markdown_code("a`b|c") == "`` a`b\\|c ``"
