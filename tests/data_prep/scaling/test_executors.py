"""Stages of a pipeline in processes of this machine, on Ray and as Slurm jobs."""

import os
import signal
import subprocess
import sys
from functools import partial
from importlib.util import find_spec

import pytest

from data_prep.scaling import executors
from data_prep.scaling.executors import Executor, ExecutorOptions, Stage, refuse_missing_executor, run_stages
from pipelines.errors import UserError

ON_TWO_CORES = ExecutorOptions(Executor.LOCAL, n_tasks=3, n_workers=2)
needs_datatrove = pytest.mark.skipif(find_spec("datatrove") is None, reason="needs the extra scale")


def write_rank(folder, _data, rank, world_size):
    (folder / f"{rank}-of-{world_size}").touch()
    return ()


def fail(_data, rank, _world_size):
    if rank == 1:
        raise ValueError("the file is damaged")
    return ()


def be_killed(_data, rank, _world_size):
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return ()


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(executors.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"ray needs datatrove and spacy and ray, .*; pip install -e '\.\[scale\]'"):
        refuse_missing_executor(Executor.RAY)


def test_slurm_without_sbatch_is_refused(monkeypatch):
    monkeypatch.setattr(executors.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="needs the command sbatch"):
        refuse_missing_executor(Executor.SLURM)


def test_the_check_imports_none_of_the_packages():
    code = "import sys, data_prep.scaling; assert not {'datatrove', 'ray', 'spacy', 'dill'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_datatrove
def test_stages_run_in_order_each_with_its_tasks(tmp_path):
    stages = [Stage("first", [partial(write_rank, tmp_path)], 3), Stage("second", [partial(write_rank, tmp_path)], 2)]
    run_stages(stages, ON_TWO_CORES, tmp_path / "logs")
    written = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert written == ["0-of-2", "0-of-3", "1-of-2", "1-of-3", "2-of-3"]


@needs_datatrove
def test_an_error_in_a_task_is_raised_and_later_stages_do_not_run(tmp_path):
    stages = [Stage("first", [fail], 2), Stage("second", [partial(write_rank, tmp_path)], 1)]
    with pytest.raises(ValueError, match="damaged"):
        run_stages(stages, ON_TWO_CORES, tmp_path / "logs")
    assert not (tmp_path / "0-of-1").exists()


@needs_datatrove
def test_a_killed_worker_is_reported_instead_of_waited_for(tmp_path):
    with pytest.raises(UserError, match="was killed, usually because memory ran out"):
        run_stages([Stage("first", [be_killed], 4)], ON_TWO_CORES, tmp_path / "logs")
