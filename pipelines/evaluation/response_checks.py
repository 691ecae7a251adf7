"""What can be read off an answer without running it: repetition, and for Python whether it is the function asked for.

Generated code is parsed, never executed.
"""

import ast
import re
import textwrap
import warnings
from dataclasses import dataclass

# The verb, or "Python" itself, keeps out code that is to be explained, mended or translated.
_HEAD = re.compile(
    r"(?:\b(?:write|implement|complete|define|create)\b[^.?!]{0,80}?|\bpython\s+(?!def)|^\W*)"
    r"\b(?P<kind>def|function|method|coroutine|generator)\s+(?:(?:called|named)\s+)?`*(?P<name>[A-Za-z_]\w*)\s?\(",
    re.IGNORECASE,
)
_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+.-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_PYTHON_FENCES = {"", "python", "python3", "py"}
_OTHER_LANGUAGE = re.compile(
    r"\b(?:javascript|typescript|java|c\+\+|c#|golang|rust|ruby|php|swift|kotlin|scala|haskell|lua)(?![\w+#])",
    re.IGNORECASE,
)
_WORDS_AND_SYMBOLS = re.compile(r"\w+|[^\w\s]")
_NGRAM = 4

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class MetricDefinition:
    """What a figure is called, counted in and good for; `better` is "higher", "lower" or "neither"."""

    name: str
    label: str
    unit: str
    better: str
    meaning: str


RESPONSE_METRICS = (
    MetricDefinition(
        "stopped_by_itself",
        "stops by itself",
        "share",
        "higher",
        "share of answers that ended with the model's own end token before the token limit",
    ),
    MetricDefinition("n_tokens", "answer length", "tokens", "neither", "mean length of an answer, end token excluded"),
    MetricDefinition(
        "repetition",
        "repetition",
        "share",
        "lower",
        "share of an answer's runs of four words or symbols that occurred in it before",
    ),
    MetricDefinition(
        "parses", "parses", "share", "higher", "share of answers that are not empty and parse as Python as a whole"
    ),
    MetricDefinition(
        "defines_requested_name",
        "defines the requested name",
        "share",
        "higher",
        "share of answers that define the function that was asked for, in their longest part that parses",
    ),
    MetricDefinition(
        "takes_requested_parameters",
        "takes the requested parameters",
        "share",
        "higher",
        "share of answers whose function has the parameters that were asked for, in their order",
    ),
)


@dataclass(frozen=True)
class RequestedFunction:
    """The function that an instruction asks for; parameters in order, as `x`, `*args`, `**kwargs`, `*` and `/`."""

    name: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class PythonChecks:
    """The Python checks of one answer."""

    parses: bool
    defines_requested_name: bool
    takes_requested_parameters: bool


def requested_function(instruction: str) -> RequestedFunction | None:
    """The Python function whose name and signature `instruction` spells out, None if it asks for none.

    Understood: "Write a Python function find_max(numbers)", "async Python function", "method close(self)", the same in
    backticks, and "complete `def find_max(numbers: list) -> int:`". That it is Python must be seen from the word, from
    `def` or from `self`; what asks for another language, or what to make of given code, counts as none.
    """
    says_python = "python" in instruction.lower()
    for match in _HEAD.finditer(instruction):
        if _OTHER_LANGUAGE.search(instruction) and "python" not in match[0].lower():
            continue
        parameters = _parameters_after(instruction[match.end() :])
        if parameters is None:
            continue
        if says_python or match["kind"].lower() == "def" or parameters[:1] in {("self",), ("cls",)}:
            return RequestedFunction(match["name"], parameters)
    return None


def python_checks(answer: str, requested: RequestedFunction) -> PythonChecks:
    """Whether `answer` parses, and whether it defines `requested` with its parameters.

    A fenced block is unwrapped and a common indent removed first; an answer without a statement does not parse. The
    definition is looked for at top level and in top-level classes of the longest run of first lines that parses, so
    that an answer cut by the token limit is still judged on what it holds.
    """
    code = code_of(answer)
    whole = _parse(code)
    definitions = _definitions(whole if whole is not None else _longest_parsable_start(code), requested.name)
    return PythonChecks(
        parses=whole is not None,
        defines_requested_name=bool(definitions),
        takes_requested_parameters=any(_parameters(one.args) == requested.parameters for one in definitions),
    )


def code_of(answer: str) -> str:
    """The Python of an answer: itself where it parses, else its first fenced Python block, else itself, dedented."""
    plain = textwrap.dedent(answer).strip("\n")
    if _parse(plain) is not None:
        return plain
    blocks = [match[2] for match in _FENCE.finditer(answer) if match[1].lower() in _PYTHON_FENCES]
    return textwrap.dedent(blocks[0]).strip("\n") if blocks else plain


def repetition(text: str) -> float:
    """1 - distinct 4-grams / 4-grams, over words and single symbols; 0 for a text of fewer than four."""
    tokens = _WORDS_AND_SYMBOLS.findall(text)
    ngrams = [tuple(tokens[start : start + _NGRAM]) for start in range(len(tokens) - _NGRAM + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def response_checks(
    text: str, n_tokens: int, stopped: bool, requested: RequestedFunction | None
) -> dict[str, bool | int | float | None]:
    """All checks of one answer by metric name (see `RESPONSE_METRICS`); None where a check does not apply."""
    checks = python_checks(text, requested) if requested else None
    return {
        "stopped_by_itself": stopped,
        "n_tokens": n_tokens,
        "repetition": repetition(text),
        "parses": checks.parses if checks else None,
        "defines_requested_name": checks.defines_requested_name if checks else None,
        "takes_requested_parameters": checks.takes_requested_parameters if checks else None,
    }


def _parse(code: str) -> ast.Module | None:
    """The syntax tree of `code`, None if it is no Python or holds no statement."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a model's invalid escape sequences are no news for the user's terminal
            module = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # NUL bytes; brackets nested by the hundred
        return None
    return module if module.body else None


def _longest_parsable_start(code: str) -> ast.Module | None:
    lines = code.split("\n")
    starts = ("\n".join(lines[:n_lines]) for n_lines in range(len(lines) - 1, 0, -1))
    return next((module for module in map(_parse, starts) if module is not None), None)


def _definitions(module: ast.Module | None, name: str) -> list[Definition]:
    statements = list(module.body) if module else []
    inside = [inner for statement in statements if isinstance(statement, ast.ClassDef) for inner in statement.body]
    return [
        one
        for one in [*statements, *inside]
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == name
    ]


def _parameters_after(text: str) -> tuple[str, ...] | None:
    """The parameters of the signature that `text` continues after its opening bracket, None if it is none."""
    depth = 1
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            module = _parse(f"def f({text[:position]}): pass")
            definition = module.body[0] if module else None
            return _parameters(definition.args) if isinstance(definition, ast.FunctionDef) else None
    return None


def _parameters(arguments: ast.arguments) -> tuple[str, ...]:
    found = [argument.arg for argument in arguments.posonlyargs]
    found += ["/"] if arguments.posonlyargs else []
    found += [argument.arg for argument in arguments.args]
    if arguments.vararg:
        found.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        found.append("*")
    found += [argument.arg for argument in arguments.kwonlyargs]
    return (*found, f"**{arguments.kwarg.arg}") if arguments.kwarg else tuple(found)
