#!/usr/bin/env bash
# accelerate 1.15.0: SIGTERM to `accelerate launch` of one process ends the launcher and leaves the program running.
#
# For one process the launcher starts the program with subprocess and waits. It takes no signal, so SIGTERM ends it and
# nobody tells the program, which goes on without a parent. With several processes (torchrun's agent) SIGTERM reaches
# each of them, and they have 30 s before SIGKILL. SIGUSR1, Slurm's warning, ends either launcher and reaches none.
#
# Output seen: launcher ended with -15, program runs: True
#
# Why it matters: `kill`, a supervisor or a container's stop ends what looks like the run, while the training keeps the
# device and never saves its checkpoint. Signal the program itself or its whole process group, or let the program ask
# the system to be told (PR_SET_PDEATHSIG).
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 accelerate==1.15.0
cat > "$tmp/program.py" <<'PY'
import os, sys, time
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(60)
PY
cat > "$tmp/kill.py" <<'PY'
import os, signal, subprocess, sys, time
from pathlib import Path

launcher, program, place = sys.argv[1], sys.argv[2], Path(sys.argv[3])
command = [launcher, "launch", "--cpu", "--num_processes", "1", "--num_machines", "1", "--dynamo_backend", "no",
           "--mixed_precision", "no", program, str(place)]
process = subprocess.Popen(command)
while not place.is_file() or not place.read_text():
    time.sleep(0.1)
process.send_signal(signal.SIGTERM)
process.wait()
time.sleep(2)
number = int(place.read_text())
state = Path(f"/proc/{number}/stat")
runs = state.is_file() and state.read_text().split()[2] != "Z"
print(f"launcher ended with {process.returncode}, program runs: {runs}")
if runs:
    os.kill(number, signal.SIGKILL)
raise SystemExit(0 if runs and process.returncode == -signal.SIGTERM else 1)
PY
"$tmp/venv/bin/python" "$tmp/kill.py" "$tmp/venv/bin/accelerate" "$tmp/program.py" "$tmp/pid" 2> /dev/null
