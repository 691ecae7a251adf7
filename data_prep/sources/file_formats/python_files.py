"""Read Python files: each function (and class) with a docstring is an instruction row, or each file is a document."""

import ast
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import RejectedRow
from data_prep.sources.file_formats.python_functions import (
    DefinitionNode,
    FunctionNode,
    request,
    request_for_class,
    source_without_docstring,
    summary_of,
)
from data_prep.sources.rows import Item, SourceRow, digest
from data_prep.sources.walk import read_utf8
from pipelines.files import is_utf8


def functions_of_python_file(path: Path, root: Path, source: str, with_classes: bool = False) -> list[Item]:
    """Return every function and method of one file: a row if it has a docstring and a body, else a reason.

    `with_classes` adds those for each class, after the functions.
    """
    relative = path.relative_to(root)
    text = read_utf8(path)
    if text is None:
        return [RejectedRow(source, relative.as_posix(), "not_utf8")]
    tree = _parse(text)
    if tree is None:
        return [RejectedRow(source, relative.as_posix(), "does_not_parse")]
    lines, group = text.split("\n"), module_path(relative)
    functions, classes = list[Item](), list[Item]()
    for node, is_method, name in _definitions(tree):
        place = f"{relative.as_posix()}:{node.lineno}:{name}"
        if isinstance(node, FunctionNode):
            functions.append(_item(node, partial(request, is_method), lines, source, place, group))
        elif with_classes:
            classes.append(_item(node, request_for_class, lines, source, place, group))
    return functions + classes


def document_of_python_file(path: Path, root: Path, source: str) -> list[Item]:
    """Return one Python file as a document of a corpus; its group is its module."""
    relative = path.relative_to(root)
    text = read_utf8(path)
    if text is None or not text.strip():
        return [RejectedRow(source, relative.as_posix(), "not_utf8" if text is None else "empty_text")]
    if _parse(text) is None:
        return [RejectedRow(source, relative.as_posix(), "does_not_parse")]
    document = text.strip("\n") + "\n"
    same_as = _without_line_end_blanks(document)
    return [SourceRow({"text": document}, source, relative.as_posix(), module_path(relative), digest(same_as))]


def _without_line_end_blanks(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


def module_path(relative: Path) -> str:
    """Return `json/decoder.py` as `json.decoder`, `pathlib/__init__.py` as `pathlib`."""
    parts = list(relative.with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


def _parse(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # an invalid escape in Python 3.10 and 3.11
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _definitions(tree: ast.Module) -> Iterator[tuple[DefinitionNode, bool, str]]:
    """Yield functions and classes in source order, whether they are in a class, and their qualified names."""
    pending: list[tuple[ast.AST, bool, str]] = [(tree, False, "")]
    while pending:  # no recursion: some hundred `elif`s are nested that deep
        node, in_class, prefix = pending.pop()
        if isinstance(node, DefinitionNode):
            yield node, in_class, prefix + node.name
            in_class, prefix = isinstance(node, ast.ClassDef), f"{prefix}{node.name}."
        children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]
        pending += [(child, in_class, prefix) for child in reversed(children)]


def _item(
    node: DefinitionNode, ask: Callable[[Any, str], str], lines: list[str], source: str, source_row: str, group: str
) -> Item:
    """The row of one definition, or why it has none; `ask` makes the request from the node and its summary."""
    docstring = ast.get_docstring(node)
    if docstring is None:
        return RejectedRow(source, source_row, "no_docstring")
    summary = summary_of(docstring)
    if not summary:
        return RejectedRow(source, source_row, "empty_docstring_summary")
    if len(node.body) == 1:
        return RejectedRow(source, source_row, "body_is_only_docstring")
    if all(_is_stub(statement) for statement in node.body[1:]):
        return RejectedRow(source, source_row, "body_is_stub")
    answer = source_without_docstring(lines, node)
    if answer is None:
        return RejectedRow(source, source_row, "answer_does_not_reparse")
    fields = {"instruction": ask(node, summary), "input": "", "output": answer}
    if not all(map(is_utf8, fields.values())):
        return RejectedRow(source, source_row, "not_unicode")
    return SourceRow(fields, source, source_row, group, digest(_without_line_end_blanks(answer)))


def _is_stub(statement: ast.stmt) -> bool:
    """Whether it is `pass`, `...` or `raise NotImplementedError`."""
    if isinstance(statement, ast.Raise):
        error = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(error, ast.Name) and error.id == "NotImplementedError"
    is_ellipsis = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass) or (is_ellipsis and statement.value.value is Ellipsis)  # type: ignore[attr-defined]
