"""Questions and answers of Markdown files."""

import time
from pathlib import Path

from data_prep.dataset_folder import DatasetKind, RejectedRow
from data_prep.sources.file_formats.markdown_questions import questions_of_markdown_file
from data_prep.sources.formats import recognize
from data_prep.sources.rows import SourceRow

FAQ = """---
title: FAQ
---
# Installing

Some words of greeting.

## 1. What do I *need*? {#need}

Python and a disk.

### On Windows

```bash
# Is this a heading?
pip install it
```

[Back to the top](#installing)

---

## Does it cost [anything](prices.md)?

### Not even a little?

No.

### Empty?

Who wrote this?
---------------
A. Author did.

**Q: Is it
fast?**

**A:** It is.
Very.

Q2. And small?
A2. Yes.

Q: No answer here

## License
"""


def read(tmp_path: Path, text: str) -> tuple[dict[str, str], dict[str, str]]:
    path = tmp_path / "docs" / "faq.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    items = questions_of_markdown_file(path, tmp_path, "docs")
    rows = {item.fields["instruction"]: item.fields["output"] for item in items if isinstance(item, SourceRow)}
    return rows, {item.source_row: item.reason for item in items if isinstance(item, RejectedRow)}


def test_headings_that_ask_and_q_and_a_are_rows(tmp_path):
    rows, rejected = read(tmp_path, FAQ)
    assert rows == {
        "What do I *need*?": "Python and a disk.\n\n### On Windows\n\n"
        "```bash\n# Is this a heading?\npip install it\n```",
        "Not even a little?": "No.",
        "Who wrote this?": "A. Author did.",
        "Is it fast?": "It is.\nVery.",
        "And small?": "Yes.",
    }
    assert rejected == {
        "docs/faq.md:4": "heading_asks_nothing", "docs/faq.md:23": "question_without_answer",
        "docs/faq.md:29": "question_without_answer", "docs/faq.md:44": "question_without_answer",
        "docs/faq.md:46": "heading_asks_nothing",
    }  # fmt: skip


def test_headings_of_a_list_of_questions_need_no_question_mark(tmp_path):
    text = """# Interview

1. ### What is a closure

    A function with its scope:

    ```js
    # no heading
    ```

    **[Back to Top](#interview)**

2. ### Is it slow

    No.

3. ### Where is it used?

    Everywhere.

4. ### Closures

    A word.
"""
    rows, rejected = read(tmp_path, text)
    assert rows == {
        "What is a closure": "A function with its scope:\n\n```js\n# no heading\n```", "Is it slow": "No.",
        "Where is it used?": "Everywhere.",
    }  # fmt: skip
    assert list(rejected.values()) == ["heading_asks_nothing"] * 2
    prose = "## How it works\n\nWell.\n\n## Install\n\nSo.\n\n## License\n\nMIT"
    assert read(tmp_path, prose)[0] == {}


def test_a_bold_line_may_ask(tmp_path):
    rows, _ = read(tmp_path, "# FAQ\n\n1. **Why is it *blue*?**\nSo.\n\n**Note**\n\nMore.\n2. **Is it?**\nYes.\n")
    assert rows == {"Why is it *blue*?": "So.\n\n**Note**\n\nMore.", "Is it?": "Yes."}


def test_questions_in_details_lose_their_tags(tmp_path):
    text = """## Questions

<details>
<summary>

### How far is it?

</summary>

Two miles.

</details>

<details><summary><b>Is it <code>far</code>?</b></summary>
<p>

No.

</p>
</details>
"""
    assert read(tmp_path, text)[0] == {"How far is it?": "Two miles.", "Is it far?": "No."}


def test_a_file_without_headings_has_a_reason(tmp_path):
    assert read(tmp_path, "Is this a question?\n\n| a | b |\n|---|---|\n") == ({}, {"docs/faq.md": "no_question"})
    (tmp_path / "latin.md").write_bytes(b"# a?\x00\x01\xff\xfe\xfa")
    [item] = questions_of_markdown_file(tmp_path / "latin.md", tmp_path, "docs")
    assert isinstance(item, RejectedRow)
    assert item.reason == "not_utf8"


def test_long_lines_take_no_time(tmp_path):
    long = " " * 200_000
    began = time.process_time()
    read(tmp_path, f"# a{long}?\n# {'[' * 100_000}?\n{long}x\n**a{long}** b\n\n{'[' * 100_000}](#\n")
    assert time.process_time() - began < 2


def test_markdown_is_only_recognized_where_there_are_no_rows(tmp_path):
    (tmp_path / "a.md").write_text("# Why?\nSo.")
    (tmp_path / "b.md").write_text("# Who?\nI.")
    assert recognize(tmp_path, DatasetKind.INSTRUCTIONS) == "markdown"
    assert recognize(tmp_path, DatasetKind.CORPUS) == "text_tree"
    (tmp_path / "rows.jsonl").write_text("")
    assert recognize(tmp_path, DatasetKind.INSTRUCTIONS) == "jsonl"
