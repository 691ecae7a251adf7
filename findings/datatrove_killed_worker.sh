#!/usr/bin/env bash
# datatrove 0.10.1: `LocalPipelineExecutor` waits forever if the kernel kills a worker, as it does when memory runs out.
#
# The tasks run in a `multiprocess.Pool`, which starts a new process but never reports the task that was lost.
#
# Output seen: still waiting 20 seconds after one of two workers was killed
#
# Why it matters: a job over night hangs instead of failing. Subclass `PipelineExecutor` and run `_run_for_rank` in a
# `ProcessPoolExecutor`, which raises BrokenProcessPool.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet datatrove==0.10.1
cd "$tmp"
cat >run.py <<'PY'
import os
import signal

from datatrove.executor import LocalPipelineExecutor


def killed(data, rank, world_size):
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return ()


if __name__ == "__main__":
    LocalPipelineExecutor([killed], tasks=3, workers=2, logging_dir="logs").run()
PY
code=0
timeout 20 venv/bin/python run.py 2>log || code=$?
[ "$code" = 124 ] || { echo "ended with exit code $code"; exit 1; }
echo "still waiting 20 seconds after one of two workers was killed"
