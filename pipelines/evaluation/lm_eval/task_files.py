"""What a benchmark's task file would do, read before lm-evaluation-harness loads it.

A task file is data as long as it names no Python: `!function` imports and calls a file beside it, a metric that the
harness does not know is fetched and run by `evaluate`, the dataset reader `pandas` unpickles. The files that the
harness itself brings were installed by the user; all others are refused unless the user trusts their code.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import UserError

_FUNCTION = "!function"
_UNPICKLING_READERS = {"pandas"}
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class TaskFile:
    """A YAML task file: the files that it includes, and what of it would run code.

    `functions` are its own Python, `metrics` those that it names, `fetched_metrics` those of them that it wants from
    the `evaluate` library, `readers` the datasets or readers of its data; `runs_answers` says that its metric runs
    what a model wrote.
    """

    path: Path
    includes: tuple[Path, ...]
    functions: tuple[str, ...]
    metrics: tuple[str, ...]
    fetched_metrics: tuple[str, ...]
    readers: tuple[str, ...]
    runs_answers: bool


def read_task_file(path: Path) -> TaskFile:
    """The task file at `path`, whose Python is listed and not run. Raises `UserError` if it is no YAML mapping."""
    path = path.expanduser().resolve()
    functions: list[str] = []

    class Loader(_YamlLoader):
        """As the harness reads it, but that a function is listed where the harness would import it."""

    Loader.add_constructor(_FUNCTION, lambda _, node: functions.append(str(node.value)))
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(content, dict):
        raise _unreadable(path, "no mapping of keys to values")
    mappings = list(_mappings(content))  # a group may write tasks out
    metrics = [one for mapping in mappings for one in _as_list(mapping.get("metric_list")) if isinstance(one, dict)]
    names = [(one["metric"], bool(one.get("hf_evaluate"))) for one in metrics if isinstance(one.get("metric"), str)]
    return TaskFile(
        path=path,
        includes=tuple(path.parent / str(name) for name in _as_list(content.get("include"))),
        functions=tuple(functions),
        metrics=tuple(name for name, _ in names),
        fetched_metrics=tuple(name for name, is_fetched in names if is_fetched),
        readers=tuple(str(mapping["dataset_path"]) for mapping in mappings if "dataset_path" in mapping),
        runs_answers=any(mapping.get("unsafe_code", False) is not False for mapping in mappings),
    )


def with_included(path: Path, seen: set[Path] | None = None) -> Iterator[TaskFile]:
    """The task file at `path` and all that it includes, each once."""
    seen = set() if seen is None else seen
    file = read_task_file(path)
    if file.path in seen:
        return
    seen.add(file.path)
    yield file
    for included in file.includes:
        yield from with_included(included, seen)


def refuse_code(files: Iterable[TaskFile], installed: Path, known_metrics: Container[str]) -> None:
    """Raise `UserError` for the first file outside `installed` that would run Python of its own."""
    for file in files:
        if file.path.is_relative_to(installed):
            continue
        fetched = [name for name in file.metrics if name in file.fetched_metrics or name not in known_metrics]
        found = [f"{_FUNCTION} {name}" for name in file.functions]
        found += [f"the metric {name}, which `evaluate` would fetch and run" for name in fetched]
        found += [f"dataset_path: {name}, which unpickles" for name in file.readers if name in _UNPICKLING_READERS]
        if found:
            raise UserError(
                expected=f"a task without Python of its own in {file.path}",
                got=found[0],
                remedy="read that code and add --trust_task_code, or take it out",
            )


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(expected=f"a YAML task file at {path}", got=why, remedy="mend it, or name another task")


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """All mappings in `value`, it included."""
    stack, seen = [value], set()
    while stack:
        one = stack.pop()
        if id(one) in seen:  # an alias
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            yield one
            stack += one.values()
        elif isinstance(one, list):
            stack += one


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
