"""A tree of Python files: every function with a docstring as an instruction row, or every file as a document."""

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

from data_prep.dataset_folder import RejectedRow
from data_prep.sources.python_answer import source_without_docstring
from data_prep.sources.python_request import FunctionNode, request, summary_of
from data_prep.sources.rows import SourceRow, holds_lone_surrogate
from data_prep.sources.tree import module_path, read_utf8

Item = SourceRow | RejectedRow
FileReader = Callable[[Path, Path, str], list[Item]]


def functions_of_file(path: Path, root: Path, source: str) -> list[Item]:
    """Every function and method of one file: a row if it has a docstring and a body, else a reason."""
    relative = path.relative_to(root)
    text = read_utf8(path)
    if text is None:
        return [RejectedRow(source, relative.as_posix(), "not_utf8")]
    tree = _parse(text)
    if tree is None:
        return [RejectedRow(source, relative.as_posix(), "does_not_parse")]
    lines = text.split("\n")
    group = module_path(relative)
    return [
        _function_item(node, is_method, lines, source, f"{relative.as_posix()}:{node.lineno}:{name}", group)
        for node, is_method, name in _functions(tree)
    ]


def document_of_file(path: Path, root: Path, source: str) -> list[Item]:
    """One Python file as a document of a corpus."""
    relative = path.relative_to(root)
    text = read_utf8(path)
    reason = None
    if text is None:
        reason = "not_utf8"
    elif not text.strip():
        reason = "empty_text"
    elif _parse(text) is None:
        reason = "does_not_parse"
    if text is None or reason is not None:
        return [RejectedRow(source, relative.as_posix(), reason or "not_utf8")]
    document = text.strip("\n") + "\n"
    same_as = "\n".join(line.rstrip() for line in document.split("\n"))
    return [SourceRow({"text": document}, source, relative.as_posix(), module_path(relative), same_as)]


def read_files(paths: Sequence[Path], root: Path, source: str, reader: FileReader, num_proc: int) -> Iterator[Item]:
    """`reader` over `paths` in order, in `num_proc` processes."""
    read = partial(reader, root=root, source=source)  # type: ignore[call-arg]
    if num_proc == 1 or len(paths) < 2:
        yield from chain.from_iterable(map(read, paths))
        return
    with ProcessPoolExecutor(num_proc) as pool:
        yield from chain.from_iterable(pool.map(read, paths, chunksize=16))


def _parse(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # what 3.10 and 3.11 call an invalid escape
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _functions(tree: ast.Module) -> Iterator[tuple[FunctionNode, bool, str]]:
    """Functions in source order with whether a class holds them directly and their qualified name."""
    pending: list[tuple[ast.AST, bool, str]] = [(tree, False, "")]
    while pending:  # no recursion: a chain of some hundred `elif`s is as deep
        node, in_class, prefix = pending.pop()
        if isinstance(node, FunctionNode):
            yield node, in_class, prefix + node.name
        if isinstance(node, (FunctionNode, ast.ClassDef)):
            in_class, prefix = isinstance(node, ast.ClassDef), f"{prefix}{node.name}."
        children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]
        pending += [(child, in_class, prefix) for child in reversed(children)]


def _function_item(
    node: FunctionNode, is_method: bool, lines: list[str], source: str, source_row: str, group: str
) -> Item:
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
    fields = {"instruction": request(node, is_method, summary), "input": "", "output": answer}
    if any(holds_lone_surrogate(value) for value in fields.values()):
        return RejectedRow(source, source_row, "not_unicode")
    return SourceRow(fields, source, source_row, group, "\n".join(line.rstrip() for line in answer.split("\n")))


def _is_stub(statement: ast.stmt) -> bool:
    """`pass`, `...` or `raise NotImplementedError`: nothing that a request could ask for."""
    if isinstance(statement, ast.Raise):
        error = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(error, ast.Name) and error.id == "NotImplementedError"
    is_ellipsis = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass) or (is_ellipsis and statement.value.value is Ellipsis)  # type: ignore[attr-defined]


def split_items(items: Iterable[Item]) -> tuple[list[SourceRow], list[RejectedRow]]:
    """Rows and rejected rows apart, each in order."""
    rows: list[SourceRow] = []
    rejected: list[RejectedRow] = []
    for item in items:
        if isinstance(item, SourceRow):
            rows.append(item)
        else:
            rejected.append(item)
    return rows, rejected
