"""Check the Python of an answer against the requested function. Generated code is parsed here, never executed."""

import ast
import re
import textwrap
import warnings
from dataclasses import dataclass

# The verb, or the word Python, excludes code that is to be explained, fixed or translated.
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
    """The requested function; parameters in order, as `x`, `*args`, `**kwargs`, `*` and `/`."""

    name: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class PythonChecks:
    """The Python checks of one answer."""

    parses: bool
    defines_requested_name: bool
    takes_requested_parameters: bool


def requested_function(instruction: str) -> RequestedFunction | None:
    """Find the Python function that `instruction` asks for by name and signature, None if it asks for none.

    Reads "Write a Python function find_max(numbers)", "async Python function", "method close(self)", the same in
    backticks, and "complete `def find_max(numbers: list) -> int:`". The word Python, `def` or `self` must show that it
    is Python. Requests for another language, and questions about given code, count as none.
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
    """Check whether `answer` parses, and whether it defines `requested` with its parameters.

    Unwraps a fenced block and removes a common indent first; an answer without a statement does not parse. Searches the
    definition at top level and in top-level classes of the longest run of first lines that parses, so an answer cut by
    the token limit still counts. Code of more than 30,000 characters does not parse; its start is searched.
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
    """Extract the Python of an answer: all of it where it parses, else its first fenced block, else all, dedented."""
    plain = textwrap.dedent(answer).strip("\n")
    if _parse(plain) is not None:
        return plain
    blocks = [match[2] for match in _FENCE.finditer(answer) if match[1].lower() in _PYTHON_FENCES]
    return textwrap.dedent(blocks[0]).strip("\n") if blocks else plain


def is_python(text: str) -> bool:
    """Whether the text parses as Python and contains a statement."""
    return _parse(text) is not None


def _parse(code: str) -> ast.Module | None:
    """The syntax tree of `code`, None if it is not Python, has no statement or is too long to be an answer."""
    return _parse_or_error_line(code)[0]


def _parse_or_error_line(code: str) -> tuple[ast.Module | None, int]:
    """The syntax tree or None, and the line number of the syntax error (0 if unknown)."""
    if len(code) > MAX_CODE_CHARACTERS:
        return None, 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as invalid escape sequences in generated code
            module = ast.parse(code)
    except SyntaxError as error:
        return None, error.lineno or 0
    except (ValueError, RecursionError, MemoryError):  # NUL bytes; hundreds of nested brackets
        return None, 0
    return (module if module.body else None), 0


def _longest_parsable_start(code: str) -> ast.Module | None:
    """The tree of the longest run of first lines that parses, None if there is none within 150,000 parsed characters. A
    run that includes the line of a syntax error cannot parse, so most tries are skipped."""
    lines = code[:MAX_CODE_CHARACTERS].split("\n")
    n_lines, n_parsed = len(lines), 0
    while n_lines > 0 and n_parsed <= _MAX_PARSED_CHARACTERS:
        start = "\n".join(lines[:n_lines])
        module, error_line = _parse_or_error_line(start)
        if module is not None:
            return module
        n_parsed += len(start)
        n_lines = min(n_lines - 1, error_line or n_lines)
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
    """The parameters of a signature, from the text after its opening bracket; None if it is not one."""
    depth = 1
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            module = _parse(f"def f({text[:position]}): pass")
            definition = module.body[0] if module else None
            return _parameters(definition.args) if isinstance(definition, ast.FunctionDef) else None
    return None


def _parameters(arguments: ast.arguments) -> tuple[str, ...]:
    """The parameters as written in a signature, without annotations and defaults."""
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    for argument in filter(None, every):
        argument.annotation = None
    arguments.defaults, arguments.kw_defaults = [], [None] * len(arguments.kwonlyargs)
    return tuple(filter(None, ast.unparse(arguments).split(", ")))
