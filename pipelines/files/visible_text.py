"""Show text of rows and model output on a page, in Markdown and in a terminal: visible, cut, free of markup."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Invisible characters: C1 controls, zero-width marks, line separators, and the direction marks that reorder displayed
# text. U+200C and U+200D stay: scripts and emoji need them.
_NAMED = (
    *range(0x80, 0xA0), 0x061C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF,
)  # fmt: skip
_VISIBLE: dict[int, str] = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
_VISIBLE |= {0x7F: "\u2421"} | {code: f"⟨U+{code:04X}⟩" for code in _NAMED}
_VISIBLE |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # half a surrogate pair cannot be written as UTF-8

# most texts have none of them, and searching is many times faster than translating
_ANY_HIDDEN = re.compile("[" + "".join(re.escape(chr(code)) for code in _VISIBLE) + "]")

# what GitHub makes links of where no markup asks for one: mentions, references to issues, bare addresses
_LINKED_UNASKED = re.compile(r"@(?=\w)|#(?=\d)|\bGH-(?=\d)|(?<=\w)://|\bwww\.", re.IGNORECASE)
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")
# what makes a heading, a list or a rule of a text that begins its line or its list item
_BLOCK = re.compile(r"^(#{1,6}|[-+]|\d{1,9}[.)])(?=\s|$)|^(?=-[- ]+$)")


def visible(text: str) -> str:
    """Return `text` with control, zero-width and direction characters shown as symbols (␀) or names (⟨U+202E⟩)."""
    text = text.replace("\r\n", "\n")
    return text.translate(_VISIBLE) if _ANY_HIDDEN.search(text) else text


@dataclass(frozen=True)
class Excerpt:
    """The first part of a text, visible, and how many characters are left out."""

    text: str
    n_hidden: int

    @property
    def has_long_lines(self) -> bool:
        """Whether a line is too long to be read by scrolling sideways, so that it should wrap even in code."""
        return any(len(line) > 200 for line in self.text.split("\n"))

    @property
    def is_large(self) -> bool:
        """Whether a box on the page may have to scroll to show it all, and so must be reachable by keyboard."""
        lines = self.text.split("\n")
        return len(lines) > 20 or max(map(len, lines)) > 70


def excerpt(text: str, max_characters: int) -> Excerpt:
    """The first `max_characters` of `text` made visible."""
    return Excerpt(visible(text[:max_characters]), max(0, len(text) - max_characters))


def one_line(text: str, max_characters: int) -> str:
    """`text` on one line, cut with an ellipsis: a title."""
    line = " ".join(visible(text[: 4 * max_characters]).split())
    return line if len(line) <= max_characters else line[: max_characters - 1].rstrip() + "…"


def first_upper(text: str) -> str:
    """`text` as the beginning of a sentence; for labels of ours, not for names. chrF and mT5 stay as they are."""
    word = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if word.islower() else text


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def markdown_text(text: str) -> str:
    """`text` as plain inline Markdown: nothing in it becomes markup, a mention, a link or HTML, also where it begins a
    line.

    What would be a mention, a reference or an address is broken by a zero-width space, written as a character reference
    so that it can be seen in the source.
    """
    broken = _LINKED_UNASKED.sub(lambda found: f"{found[0][0]}\u200b{found[0][1:]}", " ".join(visible(text).split()))
    escaped = _BLOCK.sub(_escaped_block, _MARKDOWN.sub(r"\\\1", broken))
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("\u200b", "&#8203;")


def _escaped_block(found: re.Match[str]) -> str:
    return f"{found[0][:-1]}\\{found[0][-1:]}"  # 1. becomes 1\. and # becomes \#


def markdown_code(text: str) -> str:
    """`text` as inline code, in more backticks than it holds in a row, safe in a table cell."""
    line = " ".join(visible(text).split()).replace("|", "\\|")
    ticks = "`" * (_longest_run_of_backticks(line) + 1)
    return f"{ticks} {line} {ticks}" if "`" in line else f"{ticks}{line}{ticks}"


def fenced(text: str, language: str = "text") -> str:
    """`text` in a Markdown code fence longer than any run of backticks inside it."""
    fence = "`" * max(3, _longest_run_of_backticks(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_run_of_backticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
