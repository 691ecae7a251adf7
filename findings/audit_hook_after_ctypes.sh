#!/usr/bin/env bash
# CPython 3.11: an audit hook (PEP 578) that raises on every `ctypes.*` event stops `import ctypes`, but only if nothing
# imported it before. `ctypes.memmove` is made during the import and raises no event when it is called: it reads and
# writes any address. To delete the module from sys.modules does not help: `object.__subclasses__()` leads back to it.
#
# Output seen:
#   import after the hook:        stopped by ctypes.dlopen
#   memmove, imported before it:  b'secret-token', no event
#
# Why it matters: a harness that hides something from other code in the same interpreter by such a hook must set it before
# anything imports ctypes (uuid and numpy do), and must not use ctypes itself.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
python3 -I -S - <<'PY'
import subprocess
import sys

HOOK = """
import sys
events = []
def hook(event, arguments):
    if event.startswith("ctypes."):
        events.append(event)
        raise SystemExit("stopped by " + event)
"""
AFTER = HOOK + "sys.addaudithook(hook)\nimport ctypes"
BEFORE = HOOK + """
import ctypes
del sys.modules["ctypes"], ctypes
sys.addaudithook(hook)
secret, copy = b"secret-token", bytes(12)
memmove = next(one for one in object.__subclasses__() if one.__name__ == "CDLL").__init__.__globals__["memmove"]
header = bytes.__basicsize__ - 1
memmove(id(copy) + header, id(secret) + header, 12)
print(f"{copy}, {'no event' if not events else events}")
"""
after = subprocess.run([sys.executable, "-I", "-S", "-c", AFTER], capture_output=True, text=True)
before = subprocess.run([sys.executable, "-I", "-S", "-c", BEFORE], capture_output=True, text=True)
print("import after the hook:       ", after.stderr.strip())
print("memmove, imported before it: ", before.stdout.strip() or before.stderr.strip())
sys.exit(not (after.returncode == 1 and before.stdout.startswith("b'secret-token', no event")))
PY
