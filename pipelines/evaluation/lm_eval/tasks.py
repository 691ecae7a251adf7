"""Find, check and load tasks of lm-evaluation-harness: its own, and task files of the user."""

import difflib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import datasets
import jinja2.sandbox
import yaml
from datasets.exceptions import DatasetsError

from pipelines.errors import UserError

_TASK_ERRORS = (
    ValueError, TypeError, AssertionError, LookupError, AttributeError, ImportError, OSError, jinja2.TemplateError,
    yaml.YAMLError, DatasetsError,
)  # fmt: skip


@dataclass(frozen=True)
class TaskChoice:
    """The tasks, groups or task files that a user names, and what code of theirs may run. `num_fewshot` None keeps each
    task's own number. `trust_task_code` lets task files run their Python, `run_code_unconfined` lets tasks run the
    Python that a model wrote."""

    names: Sequence[str]
    include_path: Path | None = None
    num_fewshot: int | None = None
    trust_task_code: bool = False
    run_code_unconfined: bool = False


def harness_version() -> str:
    """Return the installed version of lm-evaluation-harness. Raises `UserError` if it is not installed."""
    if importlib.util.find_spec("lm_eval") is None:
        raise UserError("lm-evaluation-harness is not installed", "pip install -e '.[benchmarks]'")
    return importlib.metadata.version("lm-eval")


def load_tasks(
    choice: TaskChoice, seed: int, refuse_likelihoods: Callable[[Sequence[str]], None] | None = None
) -> dict[str, Any]:
    """Return tasks and groups as `lm_eval.evaluator.evaluate` takes them; few-shot examples are drawn with `seed`.
    `refuse_likelihoods` gets the tasks whose files say that they compare likelihoods, before any data is fetched.
    Raises `UserError` for an unknown name, a task with code that the user does not trust, and missing data."""
    harness_version()
    import lm_eval.utils

    if choice.include_path is not None and not choice.include_path.is_dir():
        raise UserError(f"--include_path {choice.include_path} is not a folder", "check the path")
    manager, names = _manager_and_names(choice)
    for name in names:  # before its data is fetched; members of a group are checked after that
        if name in manager.task_index and (manager.task_index[name].cfg or {}).get("unsafe_code", False) is not False:
            _refuse_unsafe_code(name, choice)
    if refuse_likelihoods is not None:
        refuse_likelihoods(list(dict.fromkeys(_that_say_likelihoods(names, manager.task_index))))
    with one_line_errors(names):
        if choice.trust_task_code:
            found = manager.load(names)
        else:  # a template outside the sandbox can reach all of Python
            sandbox = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
            sandbox.filters.update(lm_eval.utils.env.filters)
            lm_eval.utils.env = sandbox
            with _refusing_task_code():
                found = manager.load(names)
    for name, task in found["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False):
            _refuse_unsafe_code(name, choice)
        _set_examples(task, choice.num_fewshot)
        task.set_fewshot_seed(seed)
    return dict(found)


@contextmanager
def one_line_errors(names: Sequence[str]) -> Iterator[None]:
    """Turn what the harness, a task or its data raise into a `UserError` that names the tasks."""
    try:
        yield
    except _TASK_ERRORS as error:
        said = " ".join(str(error).split())[:300] or "no reason given"
        raise UserError(
            f"lm-evaluation-harness cannot run {', '.join(names)}: {type(error).__name__}: {said}",
            "correct the task's file (paths of data files are relative to the working folder), or go online once for a "
            "task of the Hub",
        ) from error


@contextmanager
def _refusing_task_code() -> Iterator[None]:
    """Raise `UserError` where a task would run Python that is not part of the installed harness. Three ways lead there:
    `!function` imports and calls a file next to the task file, an unknown metric is fetched and run by `evaluate`, and
    the dataset reader `pandas` unpickles."""
    import lm_eval.api.metrics  # fills the registry
    import lm_eval.api.task
    import lm_eval.tasks._yaml_loader as loader
    from lm_eval.api.registry import metric_registry

    import_function, get_metric = loader._import_func_in_yml, lm_eval.api.task.get_metric
    load_dataset, installed = datasets.load_dataset, Path(loader.__file__).resolve().parent

    def refuse(what: str) -> NoReturn:
        raise UserError(f"a task {what}", "read that code and add --trust_task_code, or remove it from the task's file")

    def function(name: str, folder: Path) -> Any:
        if not folder.resolve().is_relative_to(installed):
            refuse(f"file in {folder} runs its own Python code: !function {name}")
        return import_function(name, folder)

    def metric(name: str, hf_evaluate_metric: bool = False) -> Any:
        if hf_evaluate_metric or name not in metric_registry:
            refuse(f"uses the metric {name}, which `evaluate` would fetch and run")
        return get_metric(name)

    def dataset(path: str, *arguments: Any, **named: Any) -> Any:
        if path == "pandas":
            refuse("has dataset_path: pandas, which unpickles files")
        return load_dataset(path, *arguments, **named)

    with (
        patch.object(loader, "_import_func_in_yml", function),
        patch.object(lm_eval.api.task, "get_metric", metric),
        patch.object(datasets, "load_dataset", dataset),
    ):
        yield


def _manager_and_names(choice: TaskChoice) -> tuple[Any, list[str]]:
    """Return a task manager that knows all names, and the names; it reads the harness's 14,000 files only if needed."""
    from lm_eval.tasks import TaskManager

    names = list(dict.fromkeys(choice.names))
    folder = str(choice.include_path) if choice.include_path else None
    manager = TaskManager(include_path=folder, include_defaults=False)
    if any(_is_unknown(name, manager.task_index) for name in names):
        manager = TaskManager(include_path=folder)
    names = [found for name in names for found in (manager.match_tasks([name]) if "*" in name else [name]) or [name]]
    for name in names:
        if _is_unknown(name, manager.task_index):
            near = ", ".join(difflib.get_close_matches(name, manager.all_tasks, n=5))
            raise UserError(
                f"lm-evaluation-harness has no task, group or file {name!r}{f' (similar: {near})' if near else ''}",
                "list the tasks with `lm-eval ls tasks`, or name a folder of your own with --include_path",
            )
    return manager, names


def _is_unknown(name: str, index: Mapping[str, Any]) -> bool:
    """Whether `name`, or a member of the group `name`, is neither in the index nor a file."""
    if name not in index:
        return not Path(name).is_file()
    members = (index[name].cfg or {}).get("task")
    named = [one for one in members if isinstance(one, str)] if isinstance(members, list) else []
    return any(_is_unknown(one, index) for one in named)


def _that_say_likelihoods(names: Sequence[str], index: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tasks among `names` and their members whose files say another `output_type` than generate_until."""
    from lm_eval.tasks._yaml_loader import load_yaml

    for name in names:
        if name not in index and not Path(name).is_file():
            continue
        tags, keys = (index[name].tags, index[name].cfg) if name in index else ((), None)
        if keys is None and name not in index:
            keys = load_yaml(Path(name), resolve_func=False)
        members = sorted(tags) if keys is None else keys.get("task")
        if isinstance(members, list):
            yield from _that_say_likelihoods([one for one in members if isinstance(one, str)], index)
        elif keys is not None and keys.get("output_type", "generate_until") != "generate_until":
            yield str(keys.get("task", name))


def _refuse_unsafe_code(name: str, choice: TaskChoice) -> None:
    if not choice.run_code_unconfined:
        raise UserError(
            f"the task {name} has unsafe_code: the harness runs generated code with this user's permissions",
            "measure code with compare.py --run_code, which uses a sandbox, or add --run_code_unconfined",
        )


def _set_examples(task: Any, num_fewshot: int | None) -> None:
    """Set the number of few-shot examples by the harness's own rule: a task whose file says 0 keeps 0."""
    own = task.get_config("num_fewshot")
    if own is None or (num_fewshot is not None and own != 0):
        task.set_config(key="num_fewshot", value=num_fewshot or 0)
    examples = getattr(task, "fewshot_cfg", None)
    names_its_examples = examples is None or examples.split is not None or examples.samples is not None
    are_tested = task.has_test_docs() and not (task.has_training_docs() or task.has_validation_docs())
    if task.get_config("num_fewshot") and are_tested and not names_its_examples:
        raise UserError(
            f"the few-shot examples of {task.task_name} are drawn from the test split, which includes the tested item",
            "set `fewshot_split` in its file (the name of the test split leaves the item out), or --num_fewshot 0",
        )
