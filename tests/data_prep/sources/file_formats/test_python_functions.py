"""What one Python file gives: the request, the answer and the reasons of what is left out."""

import ast
import sysconfig
from pathlib import Path
from textwrap import dedent

import pytest

from data_prep.dataset_folder import RejectedRow
from data_prep.sources.file_formats.python_files import functions_of_python_file
from data_prep.sources.file_formats.python_functions import summary_of
from data_prep.sources.rows import SourceRow


def items_of(tmp_path: Path, source: str) -> list[SourceRow | RejectedRow]:
    path = tmp_path / "pkg" / "module.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(dedent(source), encoding="utf-8", newline="")
    return functions_of_python_file(path, tmp_path, "toy")


def row_of(tmp_path: Path, source: str) -> SourceRow:
    (row,) = (item for item in items_of(tmp_path, source) if isinstance(item, SourceRow))
    return row


def request_of(tmp_path: Path, definition: str) -> str:
    return row_of(tmp_path, f'{definition}\n    """Do it."""\n    return 1\n').fields["instruction"]


@pytest.mark.parametrize(("definition", "expected"), [
    ("def find_max(numbers):", "Write a Python function find_max(numbers). Do it."),
    ("def f():", "Write a Python function f(). Do it."),
    (
        "def f(a: int = 3, *b: str, c=None, **d) -> dict[str, int]:",
        "Write a Python function f(a, *b, c, **d). Do it.",
    ),
    ("def f(a, /, b, *, c):", "Write a Python function f(a, /, b, *, c). Do it."),
    ("def f(a, b=1, /):", "Write a Python function f(a, b, /). Do it."),
    ("def f(*, key):", "Write a Python function f(*, key). Do it."),
    ("async def f(a):", "Write an async Python function f(a). Do it."),
])  # fmt: skip
def test_the_request_names_parameters_without_defaults_and_annotations(tmp_path, definition, expected):
    assert request_of(tmp_path, definition) == expected


def test_a_function_in_a_class_is_asked_for_as_a_method_and_dedented(tmp_path):
    row = row_of(
        tmp_path,
        '''
        class File:
            if True:
                @property
                # closed for good
                @cached(
                    size=3)
                def closed(self):
                    """Whether it is closed.

                    More words.
                    """

                    # ask the handle
                    return self.f.closed  # not ours
        ''',
    )
    assert row.fields["instruction"] == "Write a Python method closed(self). Whether it is closed."
    assert row.fields["output"] == (
        "@property\n# closed for good\n@cached(\n    size=3)\ndef closed(self):\n"
        "    # ask the handle\n    return self.f.closed  # not ours"
    )
    assert row.source_row == "pkg/module.py:8:File.closed"
    assert row.group == "pkg.module"
    assert row.source == "toy"


def test_async_methods_and_nested_functions_say_what_they_are(tmp_path):
    items = items_of(
        tmp_path,
        '''
        class A:
            async def close(self):
                """Close."""
                def inner(x):
                    """Double."""
                    return 2 * x
                return inner(2)
        ''',
    )
    requests = [item.fields["instruction"] for item in items if isinstance(item, SourceRow)]
    assert requests == ["Write an async Python method close(self). Close.", "Write a Python function inner(x). Double."]


@pytest.mark.parametrize(("source", "output"), [
    ('def f(a): "Do."; return a', "def f(a): return a"),
    ('def f(a):\n    "Dö."; b = a; return b\n', "def f(a):\n    b = a; return b"),
    ('def f(a):\n    """Do."""  # noqa\n    return a\n', "def f(a):\n    return a"),
    (
        'def f(a):\n    # first\n    """Do."""\n    # second\n    return a',
        "def f(a):\n    # first\n    # second\n    return a",
    ),
    ('def f(a):\n\t"""Do."""\n\treturn a\n', "def f(a):\n\treturn a"),
    ('def f(a):\r\n    """Do.\r\n    """\r\n    return a\r\n', "def f(a):\n    return a"),
    ("def f(a):\n    'Do.' ' It.'\n    return a", "def f(a):\n    return a"),
    ('def f(a):\n    """Do."""\n    return """x\n  y"""', 'def f(a):\n    return """x\n  y"""'),
])  # fmt: skip
def test_only_the_docstring_is_cut_out(tmp_path, source, output):
    assert row_of(tmp_path, source).fields["output"] == output


def test_the_inside_of_a_string_is_not_dedented(tmp_path):
    source = '''\
class A:
    def f(self):
        """Do."""
        a = """one
        two
three"""
        b = f"""four
        {a}
        """
        c = 'five\\
        six'
        return (a,
                b, c)
'''
    answer = row_of(tmp_path, source).fields["output"]
    assert answer.startswith(
        'def f(self):\n    a = """one\n        two\nthree"""\n    b = f"""four\n        {a}\n        """\n'
    )
    assert answer.endswith("        six'\n    return (a,\n            b, c)")


@pytest.mark.parametrize(("body", "reason"), [
    ("return 1", "no_docstring"), ('"""Do."""', "body_is_only_docstring"), ('"""Do."""\n    pass', "body_is_stub"),
    ('"""Do."""\n    ...', "body_is_stub"), ('"""Do."""\n    raise NotImplementedError("later")', "body_is_stub"),
    ('"""  """\n    return 1', "empty_docstring_summary"),
    ('""">>> f()\n    1\n    """\n    return 1', "empty_docstring_summary"),
    ('"""-----"""\n    return 1', "empty_docstring_summary"), ('"""Do \\udc80."""\n    return 1', "not_unicode"),
])  # fmt: skip
def test_a_function_that_makes_no_row_has_a_reason(tmp_path, body, reason):
    assert items_of(tmp_path, f"def f():\n    {body}\n") == [RejectedRow("toy", "pkg/module.py:1:f", reason)]


def test_a_function_whose_docstring_cannot_be_cut_cleanly_is_rejected(tmp_path):
    items = items_of(tmp_path, 'def f(a): "Do."; \\\n    return a\n')
    assert items == [RejectedRow("toy", "pkg/module.py:1:f", "answer_does_not_reparse")]


@pytest.mark.parametrize(("content", "reason"), [
    (b"def f(:\n", "does_not_parse"), (b"x = '\xe9'\n", "not_utf8"), (b"x = 1\0\n", "does_not_parse"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_rejected_whole(tmp_path, content, reason):
    (tmp_path / "bad.py").write_bytes(content)
    assert functions_of_python_file(tmp_path / "bad.py", tmp_path, "toy") == [RejectedRow("toy", "bad.py", reason)]


def test_a_file_with_a_long_chain_of_elifs_is_read(tmp_path):
    chain = "if x == 0:\n    pass\n" + "".join(f"elif x == {n}:\n    pass\n" for n in range(700))
    items = items_of(tmp_path, chain + 'def f():\n    """Do."""\n    return 1\n')
    assert [type(item) for item in items] == [SourceRow]


def test_the_summary_is_the_first_paragraph_on_one_line():
    assert summary_of("Return the\n    largest.\n\n    Never the second.") == "Return the largest."
    assert summary_of("Return it. >>> f(1)\n1") == "Return it."


def test_a_long_summary_is_cut_at_a_sentence_or_else_at_a_word():
    sentences = "This sentence has some words in it. " * 20
    assert summary_of(sentences).endswith("words in it.")
    assert 250 < len(summary_of(sentences)) <= 300
    words = "word, " * 100
    assert summary_of(words).endswith("word")
    assert 250 < len(summary_of(words)) <= 300
    assert len(summary_of("x" * 1000)) == 300
    assert len(summary_of("See it. " + "word " * 100)) > 250


def test_every_function_of_the_standard_library_survives_the_cut():
    """Real code is stranger than toys: each answer must mean the function that was read, without its docstring."""
    root = Path(sysconfig.get_path("stdlib"))
    names = ("argparse.py", "inspect.py", "typing.py", "json/decoder.py", "turtle.py", "statistics.py", "tempfile.py")
    items = [item for name in names for item in functions_of_python_file(root / name, root, "stdlib")]
    rows = [item for item in items if isinstance(item, SourceRow)]
    assert len(rows) > 300
    assert not [item for item in items if isinstance(item, RejectedRow) and item.reason == "answer_does_not_reparse"]
    for row in rows:
        (function,) = ast.parse(row.fields["output"]).body
        assert isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        assert f" {function.name}(" in row.fields["instruction"]
        assert ast.get_docstring(function, clean=False) is None or row.source_row.endswith("__doc__")
