"""The tasks that a user names: found among local files and those of lm-evaluation-harness, checked, loaded."""

import difflib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2.sandbox
import yaml
from datasets.exceptions import DatasetsError

from pipelines.errors import UserError
from pipelines.evaluation.lm_eval.task_files import TaskFile, refuse_code, with_included

_CAUSED_BY_A_TASK = (
    ValueError,
    TypeError,
    AssertionError,
    LookupError,
    AttributeError,
    ImportError,
    OSError,
    jinja2.TemplateError,
    yaml.YAMLError,
    DatasetsError,
)


@dataclass(frozen=True)
class TaskChoice:
    """The tasks, groups or task files that a user names, and what code of theirs may run.

    `num_fewshot` None leaves each task its own number. `trust_task_code` lets task files run their Python,
    `run_code_unconfined` lets tasks run the Python that a model wrote.
    """

    names: Sequence[str]
    include_path: Path | None = None
    num_fewshot: int | None = None
    trust_task_code: bool = False
    run_code_unconfined: bool = False


def harness_version() -> str:
    """The installed version of lm-evaluation-harness. Raises `UserError` without it, naming the extra."""
    if importlib.util.find_spec("lm_eval") is None:
        raise UserError(
            expected="lm-evaluation-harness, which the extra `benchmarks` installs",
            got="an environment without lm_eval",
            remedy="pip install -e '.[benchmarks]'",
        )
    return importlib.metadata.version("lm-eval")


def load_tasks(choice: TaskChoice, seed: int) -> dict[str, Any]:
    """The tasks and groups of `choice` as `lm_eval.evaluator.evaluate` takes them, few-shot examples drawn with `seed`.

    Raises `UserError` for a name that nobody knows, a task with code that the user does not trust, and one whose data
    cannot be had.
    """
    harness_version()
    import lm_eval.utils

    if choice.include_path is not None and not choice.include_path.is_dir():
        raise UserError(
            expected="a folder of task files after --include_path",
            got=str(choice.include_path),
            remedy="check the path",
        )
    if not choice.trust_task_code:  # a template can otherwise reach all of Python
        environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        environment.filters.update(lm_eval.utils.env.filters)
        lm_eval.utils.env = environment
    manager, names = _manager_that_knows(choice)
    _refuse_untrusted(choice, [file for name in names for file in _files_of(name, manager.task_index)])
    with one_line_errors("a task that lm-evaluation-harness can load", names):
        found = manager.load(names)
    for task in found["tasks"].values():
        _set_examples(task, choice.num_fewshot)
        task.set_fewshot_seed(seed)
    return dict(found)


@contextmanager
def one_line_errors(expected: str, names: Sequence[str]) -> Iterator[None]:
    """What the harness, a task or its data raise, as a `UserError` that names the tasks."""
    try:
        yield
    except _CAUSED_BY_A_TASK as error:
        said = " ".join(str(error).split())[:300] or "no reason given"
        raise UserError(
            expected=expected,
            got=f"{type(error).__name__} in {', '.join(names)}: {said}",
            remedy="mend the task's file (data files count from the folder where the program is started), "
            "or go online once for a task of the Hub",
        ) from error


def _manager_that_knows(choice: TaskChoice) -> tuple[Any, list[str]]:
    """A task manager that knows all names, and these; the 14,000 files of the harness are read only where needed."""
    from lm_eval.tasks import TaskManager

    names = list(dict.fromkeys(choice.names))
    folder = str(choice.include_path) if choice.include_path else None
    manager = TaskManager(include_path=folder, include_defaults=False)
    if _unknown(names, manager.task_index):
        manager = TaskManager(include_path=folder)
    names = [found for name in names for found in (manager.match_tasks([name]) if "*" in name else [name]) or [name]]
    if unknown := _unknown(names, manager.task_index):
        near = difflib.get_close_matches(unknown[0], manager.all_tasks, n=5)
        raise UserError(
            expected="names of tasks or groups, or task files, after --tasks",
            got=f"{unknown[0]!r}, which lm-evaluation-harness does not know"
            + (f" (near it: {', '.join(near)})" if near else ""),
            remedy="list them with `lm-eval ls tasks`, or give a folder of your own with --include_path",
        )
    return manager, names


def _unknown(names: Sequence[str], index: Mapping[str, Any]) -> list[str]:
    """The names that are no task, group or file, a group's members included."""
    unknown = [name for name in names if name not in index and not Path(name).is_file()]
    groups = [index[name] for name in names if name in index]
    return unknown + [one for group in groups for one in _unknown(list(_members(group, index)), index)]


def _members(entry: Any, index: Mapping[str, Any]) -> Iterator[str]:
    """Names of the tasks and groups in a tag or a group; what a group writes out in its own file has no name."""
    if entry.kind.name == "TAG":
        yield from sorted(entry.tags)
    elif entry.kind.name == "GROUP":
        yield from _named(entry.cfg.get("task"), index)


def _named(members: Any, index: Mapping[str, Any]) -> Iterator[str]:
    for member in members if isinstance(members, list) else []:
        if isinstance(member, str):
            yield member
        elif "group" in member and member["group"] not in index:
            yield from _named(member.get("task"), index)
        elif (name := member.get("group") or member.get("task")) in index:
            yield name


def _files_of(name: str, index: Mapping[str, Any]) -> Iterator[TaskFile]:
    """All files that decide what the task or group does."""
    entry = index.get(name)
    if entry is None:
        yield from with_included(Path(name))
        return
    if entry.yaml_path is not None:
        yield from with_included(entry.yaml_path)
    for member in _members(entry, index):
        yield from _files_of(member, index)


def _refuse_untrusted(choice: TaskChoice, files: Iterable[TaskFile]) -> None:
    import lm_eval.api.metrics  # fills the registry
    import lm_eval.tasks
    from lm_eval.api.registry import metric_registry

    files = list(files)
    if not choice.trust_task_code:
        installed = Path(lm_eval.tasks.__file__).resolve().parent
        refuse_code(files, installed, metric_registry)
    runs_answers = next((file.path for file in files if file.runs_answers), None)
    if runs_answers is not None and not choice.run_code_unconfined:
        raise UserError(
            expected="tasks that do not run the models' answers",
            got=f"unsafe_code in {runs_answers}: the harness runs what a model wrote, with all rights of this user",
            remedy="measure code with compare.py --run_code, which confines it, or add --run_code_unconfined",
        )


def _set_examples(task: Any, num_fewshot: int | None) -> None:
    """`num_fewshot` examples, by the harness's own rule: a task whose file says 0 keeps 0."""
    own = task.get_config("num_fewshot")
    if own is None or (num_fewshot is not None and own != 0):
        task.set_config(key="num_fewshot", value=num_fewshot or 0)
    n_examples = task.get_config("num_fewshot")
    examples_are_tested = task.has_test_docs() and not (task.has_training_docs() or task.has_validation_docs())
    if n_examples and examples_are_tested and not _names_its_examples(task):
        raise UserError(
            expected=f"few-shot examples of {task.task_name} that are not the item itself",
            got="no fewshot_split, so that they are drawn from the test split, the item included",
            remedy="write `fewshot_split` into its file (the test split's name leaves the item out), "
            "or --num_fewshot 0",
        )


def _names_its_examples(task: Any) -> bool:
    examples = getattr(task, "fewshot_cfg", None)
    return examples is None or examples.split is not None or examples.samples is not None
