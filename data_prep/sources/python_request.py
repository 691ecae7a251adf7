"""The instruction of a Python function: a request in plain words from its signature and its docstring."""

import ast
import re

MAX_SUMMARY_CHARS = 300
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def request(node: FunctionNode, is_method: bool, summary: str) -> str:
    """`Write a Python function find_max(numbers). Return the largest number.`"""
    kind = "an async Python" if isinstance(node, ast.AsyncFunctionDef) else "a Python"
    return f"Write {kind} {'method' if is_method else 'function'} {bare_signature(node)}. {summary}"


def bare_signature(node: FunctionNode) -> str:
    """Name and parameter names with their `*`, `**` and `/` marks: no defaults, no annotations."""
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
    """The docstring's first paragraph on one line, without doctests, cut at a sentence or a word; may be empty."""
    paragraph = re.split(r"\n\s*\n", docstring.strip(), maxsplit=1)[0].split(">>>", 1)[0]
    text = " ".join(paragraph.split())
    if not any(character.isalnum() for character in text):
        return ""
    return text if len(text) <= max_chars else _cut(text, max_chars)


def _cut(text: str, max_chars: int) -> str:
    window = text[: max_chars + 1]
    sentence_ends = [match.end() for match in re.finditer(r"[.!?](?=\s)", window)]
    # a first sentence of three words ("See below.") says less than the cut paragraph does
    if sentence_ends and sentence_ends[-1] >= max_chars // 5:
        return text[: sentence_ends[-1]]
    head, _, _ = window.rpartition(" ")
    return (head or text[:max_chars]).rstrip(" ,;:")
