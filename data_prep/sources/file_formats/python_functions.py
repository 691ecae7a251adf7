"""Turn a Python function or class into an instruction row: a request in plain words, and its source as the answer."""

import ast
import io
import re
import tokenize

MAX_SUMMARY_CHARS = 300
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
DefinitionNode = FunctionNode | ast.ClassDef
_MAX_METHODS = 12


def request(is_method: bool, node: FunctionNode, summary: str) -> str:
    """`Write a Python function find_max(numbers). Return the largest number.`"""
    kind = "an async Python" if isinstance(node, ast.AsyncFunctionDef) else "a Python"
    return f"Write {kind} {'method' if is_method else 'function'} {bare_signature(node)}. {summary}"


def request_for_class(node: ast.ClassDef, summary: str) -> str:
    """`Write a Python class Stack(Sequence) with the methods push(self, item) and pop(self). A stack of items.`"""
    bases = ", ".join(ast.unparse(base) for base in (*node.bases, *node.keywords))
    methods = [one for one in node.body if isinstance(one, FunctionNode) and not one.name.startswith("_")]
    named = [bare_signature(one) for one in methods[:_MAX_METHODS]]
    listed = " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:])))
    with_methods = f" with the method{'s' if len(named) > 1 else ''} {listed}" if named else ""
    return f"Write a Python class {node.name}{f'({bases})' if bases else ''}{with_methods}. {summary}"


def bare_signature(node: FunctionNode) -> str:
    """Return name and parameter names with their `*`, `**` and `/` marks, without defaults and annotations."""
    arguments = node.args
    names = [argument.arg for argument in arguments.posonlyargs]
    if names:
        names.append("/")
    names += [argument.arg for argument in arguments.args]
    if arguments.vararg is not None:
        names.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        names.append("*")
    names += [argument.arg for argument in arguments.kwonlyargs]
    if arguments.kwarg is not None:
        names.append(f"**{arguments.kwarg.arg}")
    return f"{node.name}({', '.join(names)})"


def summary_of(docstring: str, max_chars: int = MAX_SUMMARY_CHARS) -> str:
    """Return the docstring's first paragraph on one line, without doctests, cut at a sentence or a word."""
    paragraph = re.split(r"\n\s*\n", docstring.strip(), maxsplit=1)[0].split(">>>", 1)[0]
    text = " ".join(paragraph.split())
    if not any(character.isalnum() for character in text):
        return ""
    return text if len(text) <= max_chars else _cut(text, max_chars)


def _cut(text: str, max_chars: int) -> str:
    window = text[: max_chars + 1]
    sentence_ends = [match.end() for match in re.finditer(r"[.!?](?=\s)", window)]
    # a short first sentence ("See below.") says less than the cut paragraph
    if sentence_ends and sentence_ends[-1] >= max_chars // 5:
        return text[: sentence_ends[-1]]
    head, _, _ = window.rpartition(" ")
    return (head or text[:max_chars]).rstrip(" ,;:")


def source_without_docstring(lines: list[str], node: DefinitionNode) -> str | None:
    """Return the definition's dedented text with decorators and comments; None if it would not be the same function.

    `lines` are the file's lines without line ends. The docstring is the request: in the answer it would teach a model
    to repeat the question.
    """
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    indent = lines[node.lineno - 1][: len(lines[node.lineno - 1]) - len(lines[node.lineno - 1].lstrip())]
    kept = _cut_docstring(lines, node, first)
    answer = "\n".join(_dedent(kept, indent)).strip("\n")
    return answer if _same_function(answer, node) else None


def _cut_docstring(lines: list[str], node: DefinitionNode, first: int) -> list[str]:
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
    """Return the indices of lines that begin inside a string literal: their white space is part of the value."""
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
        return set()  # `_same_function` rejects what a wrong dedent changed
    return inside


def _same_function(answer: str, node: DefinitionNode) -> bool:
    """Whether `answer` parses to `node` without its docstring; a wrong cut or dedent would not."""
    without = type(node)(**{**dict(ast.iter_fields(node)), "body": node.body[1:]})
    try:
        body = ast.parse(answer).body
        return len(body) == 1 and ast.dump(body[0]) == ast.dump(without)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
