"""Read the tests that come with a code prompt: our own column, MBPP's or HumanEval's."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UserError


@dataclass(frozen=True)
class CodeTests:
    """Statements that raise unless the answer is right; they run after the answer, in its namespace. `before` runs
    before the answer, `setup` between the answer and the statements. If the prompt is the head of a function to
    complete (HumanEval), `completes` is that head and `entry_point` the function's name."""

    statements: tuple[str, ...]
    setup: str = ""
    before: str = ""
    completes: str = ""
    entry_point: str | None = None

    def program_of(self, text: str, code: str) -> tuple[str, str]:
        """Return what runs before the answer, and the answer's code: `code`, or the prompt completed by `text`.

        The prompt is completed if it is a function head that `code` does not define again. Then only the first lines
        of `text` count, up to one without indent, where a base model continues with something else (Chen et al.,
        arXiv:2107.03374, section 3, stop there too).
        """
        # The code is not parsed here: generated code can break the parser.
        defines = rf"^(?:async[ \t]+)?def[ \t]+{re.escape(self.entry_point or '')}[ \t]*\("
        if not self.completes or re.search(defines, code, re.MULTILINE):
            return self.before, code
        first, *others = text.split("\n")
        n_body = next((place for place, line in enumerate(others) if line[:1].strip()), len(others))
        return "", self.completes + "\n".join([first, *others[:n_body]])


def code_tests_of(row: Mapping[str, Any]) -> CodeTests | None:
    """Return the tests in a row, None if it has none.

    Reads our own `tests` (a list of statements), MBPP's `test_list` with `test_setup_code` and `test_imports`, and
    HumanEval's `test` with `entry_point` and `prompt`. Raises `UserError` for tests that are not text or not Python.
    """
    if row.get("tests"):
        tests = CodeTests(_texts(row["tests"], "tests"))
    elif row.get("test_list"):
        setup = [*_texts(row.get("test_imports") or [], "test_imports"), row.get("test_setup_code") or ""]
        tests = CodeTests(_texts(row["test_list"], "test_list"), setup="\n".join(setup).strip())
    elif isinstance(row.get("test"), str) and row.get("entry_point") and isinstance(row.get("prompt"), str):
        tests = _completion_tests(row["prompt"], row["test"], row["entry_point"])
    else:
        return None
    for source in (tests.before, tests.setup, *tests.statements):
        try:
            is_empty = not ast.parse(source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problem = f"the test {source.strip()[:80]!r} is not Python ({type(error).__name__})"
            raise UserError(problem, "correct the test in the prompts file") from error
        if is_empty and source in tests.statements:
            raise UserError("a test is empty or only a comment, so every answer passes it", "remove it or write it")
    return tests


def _completion_tests(prompt: str, test: str, entry_point: str) -> CodeTests:
    """Return HumanEval's tests: `test` defines check(candidate). A whole answer needs the lines above the head too."""
    lines = prompt.split("\n")
    heads = [n for n, line in enumerate(lines) if line.startswith((f"def {entry_point}(", f"def {entry_point} ("))]
    before = "\n".join(lines[: heads[-1]]).strip() if heads else ""
    return CodeTests((f"check({entry_point})",), test, before, completes=prompt, entry_point=entry_point)


def _texts(value: object, name: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        problem = f"{name!r} is a {type(value).__name__}, expected a list of Python statements"
        raise UserError(problem, 'write each test as a string, for example ["assert add(1, 2) == 3"]')
    return tuple(texts)
