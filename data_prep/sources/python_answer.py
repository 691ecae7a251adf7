"""The output of a Python function: its source, dedented, without its docstring."""

import ast
import io
import tokenize

from data_prep.sources.python_request import FunctionNode


def source_without_docstring(lines: list[str], node: FunctionNode) -> str | None:
    """The function's text with decorators and comments; None if what is left does not mean the same function.

    `lines` are the file's lines without line ends. The docstring has become the request: left in the answer it
    would teach a model to repeat the question.
    """
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    indent = lines[node.lineno - 1][: len(lines[node.lineno - 1]) - len(lines[node.lineno - 1].lstrip())]
    kept = _cut_docstring(lines, node, first)
    answer = "\n".join(_dedent(kept, indent)).strip("\n")
    return answer if _same_function(answer, node) else None


def _cut_docstring(lines: list[str], node: FunctionNode, first: int) -> list[str]:
    docstring, following = node.body[0], node.body[1]
    before, after = lines[first - 1 : docstring.lineno - 1], lines[docstring.end_lineno : node.end_lineno]
    # ast counts columns in UTF-8 bytes
    head = lines[docstring.lineno - 1].encode()[: docstring.col_offset].decode()
    if following.lineno == docstring.end_lineno:  # `"doc"; return 1`
        rest = lines[following.lineno - 1].encode()[following.col_offset :].decode()
        return [*before, head + rest, *after]
    while after and not after[0].strip():
        after.pop(0)
    return before + after


def _dedent(lines: list[str], indent: str) -> list[str]:
    inside = _lines_inside_strings(lines)
    return [
        line if number in inside else (line.removeprefix(indent) if line.strip() else "")
        for number, line in enumerate(lines)
    ]


def _lines_inside_strings(lines: list[str]) -> set[int]:
    """Indices of lines that begin inside a string literal: their white space is part of the value."""
    text = "\n".join(lines) + "\n"
    if '"""' not in text and "'''" not in text and "\\\n" not in text:
        return set()
    inside: set[int] = set()
    open_since: list[int] = []
    # Python 3.12 splits f-strings into several tokens, 3.14 also t-strings
    starts = {getattr(tokenize, name) for name in ("FSTRING_START", "TSTRING_START") if hasattr(tokenize, name)}
    ends = {getattr(tokenize, name) for name in ("FSTRING_END", "TSTRING_END") if hasattr(tokenize, name)}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.STRING:
                inside.update(range(token.start[0], token.end[0]))
            elif token.type in starts:
                open_since.append(token.start[0])
            elif token.type in ends:
                inside.update(range(open_since.pop(), token.end[0]))
    except (tokenize.TokenError, IndentationError):
        return set()  # `_same_function` then refuses what a wrong dedent may have changed
    return inside


def _same_function(answer: str, node: FunctionNode) -> bool:
    """Whether `answer` parses to `node` minus its docstring, which a wrong cut or dedent would break."""
    without = type(node)(**{**dict(ast.iter_fields(node)), "body": node.body[1:]})
    try:
        body = ast.parse(answer).body
        return len(body) == 1 and ast.dump(body[0]) == ast.dump(without)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
