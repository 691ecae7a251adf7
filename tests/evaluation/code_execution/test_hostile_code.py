"""What generated code might do to the machine: each attempt fails and leaves no trace.

Spawners are bounded to 50 children that would live for seconds, so that a child that gets through is seen.
"""

import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.evaluation.code_execution.execution import run_texts
from pipelines.evaluation.code_execution.sandbox import Outcome, RunLimits, RunResult
from pipelines.evaluation.prompts.code_tests import CodeTests

pytestmark = pytest.mark.usefixtures("sandbox")

LIMITS = RunLimits(seconds=2.0, memory_bytes=256 * 2**20, file_bytes=2**20, folder_bytes=4 * 2**20)
SECRET = "hush-4711"
TESTS = CodeTests(("assert f() == 1",))
GOOD = "\ndef f():\n    return 1\n"
LOOP = "def loop():\n    while True: pass\n"
FIFTY = f"import os, subprocess, time, multiprocessing, threading\n{LOOP}for _ in range(50):\n    "
FILL = "import os\nfor number in range(20):\n    open(str(number), 'wb').write(bytes(10**6))\n"
SWALLOWED = "try:\n    {}\nexcept BaseException:\n    pass"
# Each would pass its test if nothing stopped it. VICTIM is a file that anyone may change, in FOLDER; PORT and DOOR are
# listeners on this machine.
FAILING: dict[str, tuple[str, Outcome | None]] = {
    "loop": ("while True:\n    pass", Outcome.TIMEOUT),
    "swallowing loop": ("while True:\n    try:\n        while True: pass\n    finally: continue", Outcome.TIMEOUT),
    "sleep": ("import time\ntime.sleep(60)", Outcome.TIMEOUT),
    "loop in C": ("import itertools, collections\ncollections.deque(itertools.repeat(0), 0)", Outcome.TIMEOUT),
    "loop on threads": (
        "import threading\ndef g():\n    while True: pass\n[threading.Thread(target=g).start() for _ in range(4)]\ng()",
        Outcome.TIMEOUT,
    ),
    "loop in the test": ("def f():\n    while True: pass", Outcome.TIMEOUT),
    "memory at once": ("x = bytearray(10**9)", Outcome.MEMORY),
    "memory bit by bit": ("x = []\nwhile True:\n    x.append(bytearray(10**6))", Outcome.MEMORY),
    "memory by a number": ("x = 10 ** (10 ** 10)", None),
    "large file": ("with open('big', 'wb') as file:\n    file.write(bytes(10**7))", Outcome.FILES),
    "full folder": (FILL, Outcome.FILES),
    "full folder, with output": (FILL.replace("\n    open", "\n    os.write(3, b'.')\n    open"), Outcome.FILES),
    "deleted files held open": (
        "import os\nheld = []\nfor number in range(40):\n    held.append(open(str(number), 'wb'))\n"
        "    os.remove(str(number))",
        Outcome.ERROR,
    ),
    "write": ("open('VICTIM', 'w').write('touched')", Outcome.ERROR),
    "new file in shared memory": ("open('/dev/shm/generated-code-was-here', 'w')", Outcome.ERROR),
    "delete": ("import os\nos.remove('VICTIM')", Outcome.ERROR),
    "move away": ("import os\nos.rename('VICTIM', 'mine.txt')", Outcome.ERROR),
    "change the library": ("import os\nos.chmod(os.__file__, 0o777)\nopen(os.__file__, 'a')", None),
    "read a file": ("print(open('VICTIM').read())", Outcome.ERROR),
    "read the users": ("print(open('/etc/passwd').read())", Outcome.ERROR),
    "list a folder": ("import os\nprint(os.listdir('FOLDER'))", Outcome.ERROR),
    "list all": ("import os\nassert set(os.listdir('/')) & {'home', 'proc', 'var', 'bin', 'boot'}", Outcome.ERROR),
    "environment": ("import os\nraise ValueError(os.environ['HUSH'])", Outcome.ERROR),
    "environment of others": ("open('/proc/1/environ').read()", Outcome.ERROR),
    "own memory": ("open('/proc/self/mem', 'rb').read(1)", Outcome.ERROR),
    "tcp": ("import socket\nsocket.create_connection(('127.0.0.1', PORT))", Outcome.ERROR),
    "http": ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:PORT/')", Outcome.ERROR),
    "unix": ("import socket\nsocket.socket(socket.AF_UNIX).connect('DOOR')", Outcome.ERROR),
    "fork": (FIFTY + "if os.fork() == 0:\n        time.sleep(5)\n        os._exit(0)", Outcome.DENIED),
    "subprocess": (FIFTY + "subprocess.Popen(['sleep', '5'])", Outcome.DENIED),
    "multiprocessing": (FIFTY + "multiprocessing.Process(target=time.sleep, args=(5,)).start()", Outcome.DENIED),
    "become another program": ("import os\nos.execv('/bin/sleep', ['sleep', '5'])", Outcome.ERROR),
    "many threads": (FIFTY + "threading.Thread(target=time.sleep, args=(5,)).start()", Outcome.ERROR),
    "end all processes": ("import os, signal\nos.kill(-1, signal.SIGKILL)\nos.kill(1, signal.SIGKILL)", None),
}
# These may pass their test: they did nothing to the machine.
HARMLESS = {
    "write, swallowed": SWALLOWED.format("open('VICTIM', 'w').write('touched')"),
    "delete a tree": "import shutil\n[shutil.rmtree(one, ignore_errors=True) for one in ('FOLDER', '/')]",
    "tcp, swallowed": SWALLOWED.format("import socket; socket.create_connection(('127.0.0.1', PORT))"),
    "udp": "import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))",
    "listen": "import socket\nsocket.create_server(('127.0.0.1', 0))",
    "fork, swallowed": FIFTY + "try: os.fork() or time.sleep(5) or os._exit(0)\n    except OSError: pass",
    "shell": FIFTY + "os.system('sleep 5 &')",
    "many files": "for number in range(1000):\n    open(str(number), 'w').close()",
    "deep folders": "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')",
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder and a file that anyone may write."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o777)
        (Path(path) / "victim.txt").write_text("untouched")
        (Path(path) / "victim.txt").chmod(0o666)
        yield Path(path)


@pytest.fixture(scope="module")
def reached(folder: Path) -> Iterator[list[str]]:
    """Listeners on TCP, UDP and a Unix socket that anyone may reach, and who was."""
    visits: list[str] = []

    def note_visitors(name: str, listener: socket.socket) -> None:
        while True:
            try:
                listener.recv(1) if name == "udp" else listener.accept()[0].close()
            except OSError:  # the fixture closed it
                return
            visits.append(name)

    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(tcp.getsockname())
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(folder / "door"))
            (folder / "door").chmod(0o777)
            unix.listen()
            for name, listener in (("tcp", tcp), ("udp", udp), ("unix", unix)):
                threading.Thread(target=note_visitors, args=(name, listener), daemon=True).start()
            (folder / "port").write_text(str(tcp.getsockname()[1]))
            yield visits


@pytest.fixture(scope="module")
def results(folder: Path, reached: list[str]) -> dict[str, RunResult]:
    assert reached == []
    named = {name: code for name, (code, _) in FAILING.items()} | HARMLESS
    places = {"VICTIM": folder / "victim.txt", "FOLDER": folder, "DOOR": folder / "door"}
    texts = []
    for code in named.values():
        for word, place in {**places, "PORT": (folder / "port").read_text()}.items():
            code = code.replace(word, str(place))
        texts.append(code if "def f" in code else code + GOOD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUSH", SECRET)
        return dict(zip(named, run_texts(texts, [TESTS] * len(texts), LIMITS, n_workers=6), strict=True))


@pytest.mark.parametrize("name", FAILING)
def test_it_is_stopped_and_counted_as_failed(name, results):
    result = results[name]
    assert result.passes_tests is False
    assert result.outcome not in (Outcome.PASSED, Outcome.RAN)
    assert result.outcome == (FAILING[name][1] or result.outcome), result
    assert SECRET not in result.reason


def test_nothing_outside_was_touched_and_no_listener_was_reached(folder, reached, results):
    assert len(results) == len(FAILING) + len(HARMLESS)
    victim = folder / "victim.txt"
    assert victim.read_text() == "untouched"
    assert (victim.stat().st_mode & 0o777, victim.stat().st_nlink) == (0o666, 1)
    assert sorted(path.name for path in folder.iterdir()) == ["door", "port", "victim.txt"]
    assert not Path("/dev/shm/generated-code-was-here").exists()
    assert reached == []
    port = int((folder / "port").read_text())
    socket.create_connection(("127.0.0.1", port)).close()  # the listener can be reached
    assert wait_until(lambda: reached == ["tcp"])


def test_no_process_is_left_and_one_that_is_would_be_seen(results):
    assert results
    assert wait_until(lambda: not processes_in_sandboxes())
    sandbox = ["bwrap", "--unshare-uts", "--unshare-user", "--ro-bind", "/", "/", "--die-with-parent"]
    with subprocess.Popen([*sandbox, "sh", "-c", "echo; exec sleep 20"], stdout=subprocess.PIPE) as left:
        assert left.stdout.readline()  # killed before it has begun, bwrap leaves a process that waits for ever
        assert processes_in_sandboxes()
        left.kill()
    assert wait_until(lambda: not processes_in_sandboxes())


def processes_in_sandboxes() -> list[Path]:
    """Return the processes in another UTS namespace than this one, as all in a sandbox are."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found += [path] if (path / "ns/uts").readlink() != Path("/proc/self/ns/uts").readlink() else []
        except OSError:
            continue
    return found


def wait_until(is_so: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 5
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(is_so())
