"""The tests that come with a prompt for code, in the three forms that data sets have."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UserError


@dataclass(frozen=True)
class CodeTests:
    """Statements that raise unless the answer is right, run one after the other after it, in its namespace.

    `before` runs ahead of the answer, `setup` between answer and tests. Where the prompt is the head of a function to
    be continued, `completes` is that head and `entry_point` the function's name.
    """

    statements: tuple[str, ...]
    setup: str = ""
    before: str = ""
    completes: str = ""
    entry_point: str | None = None

    def program_of(self, text: str, code: str) -> tuple[str, str]:
        """What to run before the answer, and the answer: `code`, or the prompt continued by `text` as it stands.

        The second where the prompt is a head and `code` does not define its function: a base model writes on, and only
        the body of that function counts.
        """
        if not self.completes or _defines(code, self.entry_point):
            return self.before, code
        return "", self.completes + _body_of(text)


def code_tests_of(row: Mapping[str, Any]) -> CodeTests | None:
    """The tests in a row, None where it has none.

    Understood: our own `tests`, a list of statements; MBPP's `test_list` with `test_setup_code` and `test_imports`;
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
    for statement in (tests.before, tests.setup, *tests.statements):
        _refuse_unless_python(statement)
    if not all(ast.parse(statement).body for statement in tests.statements):
        raise UserError(
            expected="tests that test something",
            got="an empty one, or a comment alone, which everything passes",
            remedy="remove it, or write its statement",
        )
    return tests


def _completion_tests(prompt: str, test: str, entry_point: str) -> CodeTests:
    """HumanEval's: its `test` defines check(candidate). What stands above the head is for whole answers too."""
    lines = prompt.split("\n")
    heads = [
        place for place, line in enumerate(lines) if line.startswith((f"def {entry_point}(", f"def {entry_point} ("))
    ]
    before = "\n".join(lines[: heads[-1]]) if heads else ""
    return CodeTests(
        (f"check({entry_point})",),
        setup=test,
        before=before.strip(),
        completes=prompt,
        entry_point=entry_point,
    )


def _body_of(text: str) -> str:
    """The first lines of a continuation, up to one that begins at the margin, where another definition or talk starts.

    Chen et al. (arXiv:2107.03374, 2021) stop at such lines too, section 3.
    """
    first, *others = text.split("\n")
    length = next((place for place, line in enumerate(others) if line[:1].strip()), len(others))
    return "\n".join([first, *others[:length]])


def _texts(value: object, name: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UserError(
            expected=f"a list of Python statements in {name!r}",
            got=f"a {type(value).__name__}",
            remedy='write each test as a string, for example ["assert add(1, 2) == 3"]',
        )
    return tuple(texts)


def _refuse_unless_python(statement: str) -> None:
    try:
        ast.parse(statement)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(
            expected="tests that are Python",
            got=f"{statement.strip()[:80]!r} ({type(error).__name__})",
            remedy="mend the test in the prompts",
        ) from error


def _defines(code: str, name: str | None) -> bool:
    """Whether a line at the margin defines `name`; generated code is not parsed here, it may break the parser."""
    return re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(name or '')}[ \t]*\(", code, re.MULTILINE) is not None
