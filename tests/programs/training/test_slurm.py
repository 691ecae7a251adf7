"""recipes/launch.slurm on two machines that are this one, with stand-ins for Slurm's own commands."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.run_files import logged, read_json, record_of, write_jsonl

SCRIPT = PROJECT / "recipes/launch.slurm"
# Starts the command once on each machine, passes signals on and ends with the worst exit code, as srun does.
SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
for ((node = 0; node < SLURM_JOB_NUM_NODES; node++)); do SLURM_NODEID=$node "$@" & TASKS+=($!); done
trap 'kill -USR1 "${TASKS[@]}"' USR1
for task in "${TASKS[@]}"; do
    while kill -0 $task 2>/dev/null; do wait $task; CODE=$?; done
    [ $CODE -eq 0 ] || WORST=$CODE
done
exit ${WORST:-0}
"""
SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then echo 127.0.0.1; echo 127.0.0.2; else echo "$@" >> "$0.log"; fi
"""
KEYS = """
use_peft: true
bf16: false
dtype: float32
max_length: 128
max_steps: {max_steps}
per_device_train_batch_size: 2
logging_steps: 1
save_strategy: "no"
lr_scheduler_type: constant
eval_strategy: "no"
report_to: none
disable_tqdm: true
n_samples: 0
doctor: "off"
activation_checkpointing: false
"""


def test_the_script_is_edited_in_three_lines_and_is_valid_bash():
    written = SCRIPT.read_text()
    assert len(re.findall(r"# edit$", written, re.MULTILINE)) == 3
    subprocess.run(["bash", "-n", SCRIPT], check=True)


@pytest.fixture
def submit(tmp_path, tiny_model_folder):
    """Start the edited script as a job of some machines with one process each."""
    rows = write_jsonl(tmp_path / "rows.jsonl", [{"instruction": f"Say {n}", "output": f"{n}"} for n in range(40)])
    places = f"model_name_or_path: {tiny_model_folder}\ndataset_name: {rows}\noutput_dir: {tmp_path / 'run'}"
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)

    def start(n_machines: int, max_steps: int) -> "subprocess.Popen[str]":
        (tmp_path / "recipe.yaml").write_text(places + KEYS.format(max_steps=max_steps))
        edited = re.sub(r"RECIPE=.*", f"RECIPE={tmp_path / 'recipe.yaml'}", SCRIPT.read_text())
        (tmp_path / "job.slurm").write_text(edited)
        job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NUM_NODES": str(n_machines), "SLURM_GPUS_ON_NODE": "1",
               "SLURM_JOB_NODELIST": "here[0-1]", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1",
               "PATH": f"{commands}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}  # fmt: skip
        with (tmp_path / "job.log").open("a") as log:
            return subprocess.Popen(["bash", tmp_path / "job.slurm"], cwd=PROJECT, stdout=log, stderr=log, text=True,
                                    env={**os.environ, **job})  # fmt: skip

    return start


def ended(job: "subprocess.Popen[str]", folder: Path) -> str:
    job.wait(timeout=400)
    return (folder / "job.log").read_text()


@pytest.mark.slow
def test_two_machines_stop_in_time_are_queued_again_and_resume(submit, tmp_path):
    job = submit(2, 4000)
    while "step 3/" not in (said := (tmp_path / "job.log").read_text()):
        assert job.poll() is None, said
        time.sleep(0.2)
    job.send_signal(signal.SIGUSR1)
    said = ended(job, tmp_path)
    assert job.returncode != 0
    assert record_of(tmp_path / "run")["n_processes"] == 2
    [checkpoint] = (tmp_path / "run").glob("checkpoint-*")
    step = read_json(checkpoint / "trainer_state.json")["global_step"]
    assert f"stopped at step {step} (SIGUSR1)" in said
    assert (tmp_path / "bin/scontrol.log").read_text().split() == ["requeue", str(os.getpid())]
    job = submit(2, step + 2)
    assert f"resuming from checkpoint-{step}" in ended(job, tmp_path)
    assert job.returncode == 0
    assert record_of(tmp_path / "run")["status"] == "finished"
    assert len(logged(tmp_path / "run", "loss")) == step + 2


@pytest.mark.slow
def test_one_machine_with_one_process_is_a_job_too(submit, tmp_path):
    job = submit(1, 2)
    said = ended(job, tmp_path)
    assert job.returncode == 0, said
    assert record_of(tmp_path / "run")["n_processes"] == 1
