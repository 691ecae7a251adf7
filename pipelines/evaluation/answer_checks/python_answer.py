"""Python in an answer: whether it is the function asked for. Generated code is parsed here, never executed."""

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
MAX_CODE_CHARACTERS = 30_000
_MAX_PARSED_CHARACTERS = 150_000  # in all starts of one answer together

Definition = ast.FunctionDef | ast.AsyncFunctionDef


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
    that an answer cut by the token limit is still judged on what it holds. Code of more than 30,000 characters does not
    parse, and is judged on the start of that length.
    """
    code = code_of(answer)
    whole = _parse(code)
    definitions = _definitions(whole if whole is not None else _longest_parsable_start(code), requested.name)
    return PythonChecks(
        parses=whole is not None,
        defines_requested_name=bool(definitions),
        takes_requested_parameters=any(_parameters(one.args) == requested.parameters for one in definitions),
    )


def parses(answer: str) -> bool:
    """Whether the Python of `answer` (see `code_of`) parses as a whole and holds a statement."""
    return _parse(code_of(answer)) is not None


def code_of(answer: str) -> str:
    """The Python of an answer: itself where it parses, else its first fenced Python block, else itself, dedented."""
    plain = textwrap.dedent(answer).strip("\n")
    if _parse(plain) is not None:
        return plain
    blocks = [match[2] for match in _FENCE.finditer(answer) if match[1].lower() in _PYTHON_FENCES]
    return textwrap.dedent(blocks[0]).strip("\n") if blocks else plain


def is_python(text: str) -> bool:
    """Whether the text parses as Python and holds a statement."""
    return _parse(text) is not None


def _parse(code: str) -> ast.Module | None:
    """The syntax tree of `code`, None if it is no Python, holds no statement or is too long to be an answer."""
    module, _ = _parse_or_place(code)
    return module


def _parse_or_place(code: str) -> tuple[ast.Module | None, int]:
    """The syntax tree or None, and the number of the line where Python saw the mistake (0 if it names none)."""
    if len(code) > MAX_CODE_CHARACTERS:
        return None, 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a model's invalid escape sequences are no news for the user's terminal
            module = ast.parse(code)
    except SyntaxError as error:
        return None, error.lineno or 0
    except (ValueError, RecursionError, MemoryError):  # NUL bytes; brackets nested by the hundred
        return None, 0
    return (module if module.body else None), 0


def _longest_parsable_start(code: str) -> ast.Module | None:
    """The tree of the most first lines that parse, None if none do or 150,000 characters were parsed in vain.

    No start that goes beyond the line of a mistake can parse, so that most tries are left out.
    """
    lines = code[:MAX_CODE_CHARACTERS].split("\n")
    n_lines, n_parsed = len(lines), 0
    while n_lines > 0 and n_parsed <= _MAX_PARSED_CHARACTERS:
        start = "\n".join(lines[:n_lines])
        module, place = _parse_or_place(start)
        if module is not None:
            return module
        n_parsed += len(start)
        n_lines = min(n_lines - 1, place or n_lines)
    return None


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
