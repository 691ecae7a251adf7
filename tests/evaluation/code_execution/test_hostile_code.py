"""What generated code might do to the machine: each attempt fails and leaves no trace.

Spawners are bounded to 50 children that would live for seconds, so that one that gets through is seen.
"""

import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipelines.evaluation.code_execution.execution import RunResult, run_texts
from pipelines.evaluation.code_execution.sandbox import Outcome, RunLimits
from pipelines.evaluation.prompts.code_tests import CodeTests

pytestmark = pytest.mark.usefixtures("sandbox")

LIMITS = RunLimits(seconds=2.0, memory_bytes=256 * 2**20, file_bytes=2**20, folder_bytes=4 * 2**20)
SECRET = "hush-4711"
TESTS = CodeTests(("assert f() == 1",))
GOOD = "\ndef f():\n    return 1\n"


@dataclass
class Bystanders:
    """What is around the children and must not be touched."""

    folder: Path
    port: int
    socket_path: Path
    reached: list[str] = field(default_factory=list)

    @property
    def victim(self) -> Path:
        return self.folder / "victim.txt"


@pytest.fixture(scope="module")
def bystanders() -> Iterator[Bystanders]:
    """A folder and a file that anyone may write, and listeners on TCP, UDP and a Unix socket that anyone may reach."""
    with tempfile.TemporaryDirectory() as path, socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        folder = Path(path)
        folder.chmod(0o777)
        (folder / "victim.txt").write_text("untouched")
        (folder / "victim.txt").chmod(0o666)
        tcp.bind(("127.0.0.1", 0))
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(folder / "door"))
            (folder / "door").chmod(0o777)
            around = Bystanders(folder, port, folder / "door")
            for listener in (tcp, unix):
                listener.listen()
            for name, listener in (("tcp", tcp), ("udp", udp), ("unix", unix)):
                threading.Thread(target=_note_visitors, args=(name, listener, around.reached), daemon=True).start()
            yield around


def _note_visitors(name: str, listener: socket.socket, reached: list[str]) -> None:
    while True:
        try:
            if name == "udp":
                listener.recv(1)
            else:
                listener.accept()[0].close()
        except OSError:  # the fixture closed it
            return
        reached.append(name)


def programs(around: Bystanders) -> dict[str, str]:
    """Hostile code by name; all of it would pass its test if nothing stopped it."""
    return takers() | writers(around) | readers(around) | callers(around) | spawners()


def takers() -> dict[str, str]:
    """Endless loops, eaters of memory, and too much inside the folder."""
    return {
        "loop": "while True:\n    pass",
        "loop that swallows everything": "while True:\n    try:\n        while True: pass\n    finally: continue",
        "sleep": "import time\ntime.sleep(60)",
        "loop in C": "import itertools, collections\ncollections.deque(itertools.repeat(0), 0)",
        "loop on threads": "import threading\ndef g():\n    while True: pass\n"
        "[threading.Thread(target=g).start() for _ in range(4)]\ng()",
        "loop in the test": "def f():\n    while True: pass",
        "memory at once": "x = bytearray(10**9)",
        "memory bit by bit": "x = []\nwhile True:\n    x.append(bytearray(10**6))",
        "memory by a number": "x = 10 ** (10 ** 10)",
        "large file": "with open('big', 'wb') as file:\n    file.write(bytes(10**7))",
        "deleted files held open": "import os\nheld = []\nfor number in range(40):\n"
        "    held.append(open(str(number), 'wb'))\n    os.remove(str(number))",
        "full folder": "for number in range(20):\n    open(str(number), 'wb').write(bytes(10**6))\n"
        "import time\ntime.sleep(0.5)",
        "full folder, dripping words": "import os\nfor number in range(20):\n"
        "    open(str(number), 'wb').write(bytes(10**6))\n    os.write(3, b'.')\n"
        "import time\nfor _ in range(100):\n    os.write(3, b'.')\n    time.sleep(0.01)",
    }  # fmt: skip


def writers(around: Bystanders) -> dict[str, str]:
    """Writers and deleters outside the folder."""
    victim, folder = str(around.victim), str(around.folder)
    swallowed = "try:\n    {}\nexcept BaseException:\n    pass"
    return {
        "write": f"open({victim!r}, 'w').write('touched')",
        "write, swallowed": swallowed.format(f"open({victim!r}, 'w').write('touched')"),
        "append": f"open({victim!r}, 'a').write('touched')",
        "write by os": f"import os\nos.write(os.open({victim!r}, os.O_WRONLY), b'touched')",
        "new file": f"open({folder + '/new.txt'!r}, 'w')",
        "new file in shared memory": "open('/dev/shm/generated-code-was-here', 'w')",
        "new folder": f"import os\nos.mkdir({folder + '/new'!r})",
        "delete": f"import os\nos.remove({victim!r})",
        "delete, swallowed": swallowed.format(f"import os; os.remove({victim!r})"),
        "delete by a way up": f"import os\nos.remove(os.path.relpath({victim!r}))",
        "delete a tree": f"import shutil\nshutil.rmtree({folder!r}, ignore_errors=True)",
        "move away": f"import os\nos.rename({victim!r}, 'mine.txt')",
        "replace": f"import os\nopen('x', 'w')\nos.replace('x', {victim!r})",
        "truncate": f"import os\nos.truncate({victim!r}, 0)",
        "change rights": f"import os\nos.chmod({victim!r}, 0)",
        "change times": f"import os\nos.utime({victim!r}, (0, 0))",
        "link": f"import os\nos.link({victim!r}, 'mine.txt')",
    }  # fmt: skip


def readers(around: Bystanders) -> dict[str, str]:
    """Readers of files, folders and the environment."""
    victim, folder = str(around.victim), str(around.folder)
    return {
        "read a file": f"print(open({victim!r}).read())",
        "read the users": "print(open('/etc/passwd').read())",
        "list a folder": f"import os\nprint(os.listdir({folder!r}))",
        "list all": "import os\nassert set(os.listdir('/')) & {'home', 'proc', 'var', 'bin', 'boot'}",
        "environment": "import os\nraise ValueError(os.environ['HUSH'])",
        "environment of the maker": "import os\nraise ValueError(open(f'/proc/{os.getppid()}/environ').read())",
        "environment of all": "import glob\nfound = glob.glob('/proc/[0-9]*/environ')\n"
        "raise ValueError([open(path).read() for path in found][0])",
        "own memory": "open('/proc/self/mem', 'rb').read(1)",
    }  # fmt: skip


def callers(around: Bystanders) -> dict[str, str]:
    """Users of the network."""
    swallowed = "try:\n    {}\nexcept BaseException:\n    pass"
    return {
        "tcp": f"import socket\nsocket.create_connection(('127.0.0.1', {around.port}))",
        "tcp, swallowed": swallowed.format(f"import socket; socket.create_connection(('127.0.0.1', {around.port}))"),
        "http": f"import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{around.port}/')",
        "udp": f"import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {around.port}))",
        "unix": f"import socket\nsocket.socket(socket.AF_UNIX).connect({str(around.socket_path)!r})",
        "listen": "import socket\nsocket.create_server(('127.0.0.1', 0))",
    }  # fmt: skip


def spawners() -> dict[str, str]:
    """Spawners of at most 50 short-lived children, of threads, and senders of signals."""
    fifty = "import os, subprocess, time, multiprocessing\nfor _ in range(50):\n    "
    return {
        "fork": fifty + "if os.fork() == 0:\n        time.sleep(5)\n        os._exit(0)",
        "fork, swallowed": fifty + "try: os.fork() or time.sleep(5) or os._exit(0)\n    except OSError: pass",
        "subprocess": fifty + "subprocess.Popen(['sleep', '5'])",
        "shell": fifty + "os.system('sleep 5 &')",
        "posix_spawn": fifty + "os.posix_spawn('/bin/sleep', ['sleep', '5'], {})",
        "multiprocessing": fifty + "multiprocessing.Process(target=time.sleep, args=(5,)).start()",
        "become another program": "import os\nos.execv('/bin/sleep', ['sleep', '5'])",
        "many threads": "import threading, time\n"
        "for _ in range(500):\n    threading.Thread(target=time.sleep, args=(5,)).start()",
        "signal the maker": "import os\nos.kill(os.getppid(), 0)",
        "signal a group": "import os\nos.killpg(os.getpgid(os.getppid()), 0)",
    }  # fmt: skip


EXPECTED = {
    **dict.fromkeys(("loop", "loop that swallows everything", "loop on threads", "loop in C"), Outcome.TIMEOUT),
    **dict.fromkeys(("sleep", "loop in the test"), Outcome.TIMEOUT),
    **dict.fromkeys(("memory at once", "memory bit by bit"), Outcome.MEMORY),
    **dict.fromkeys(("large file", "full folder", "full folder, dripping words"), Outcome.FILES),
    **dict.fromkeys(("write", "new file", "read a file", "list a folder", "environment"), Outcome.ERROR),
    **dict.fromkeys(("tcp", "http", "unix", "fork", "subprocess", "many threads"), Outcome.ERROR),
    "deleted files held open": Outcome.ERROR,
}
NAMES = list(programs(Bystanders(Path("/"), 0, Path("/"))))
# What swallows its own error may pass its test: it did nothing to the machine.
FAILING = [name for name in NAMES if not ("swallowed" in name or name in ("delete a tree", "shell", "listen", "udp"))]


def processes_in_sandboxes() -> list[int]:
    """Return the processes of this machine that run in a sandbox, or that a program in one started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            inside = (path / "ns" / "uts").readlink() != Path("/proc/self/ns/uts").readlink()
        except OSError:
            continue
        found += [int(path.name)] if inside else []
    return found


@pytest.fixture(scope="module")
def results(bystanders: Bystanders) -> dict[str, RunResult]:
    named = programs(bystanders)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUSH", SECRET)
        texts = [code if "def f" in code else code + GOOD for code in named.values()]
        return dict(zip(named, run_texts(texts, [TESTS] * len(texts), LIMITS, n_workers=6), strict=True))


@pytest.mark.parametrize("name", FAILING)
def test_it_is_stopped_and_counted_as_failed(name: str, results: dict[str, RunResult]) -> None:
    result = results[name]
    assert result.passes_tests is False
    assert result.outcome not in (Outcome.PASSED, Outcome.RAN)
    assert result.outcome == EXPECTED.get(name, result.outcome), result
    assert SECRET not in result.reason


def test_nothing_outside_was_touched_and_no_listener_was_reached(
    bystanders: Bystanders, results: dict[str, RunResult]
) -> None:
    assert len(results) == len(NAMES)
    assert bystanders.victim.read_text() == "untouched"
    status = bystanders.victim.stat()
    assert (status.st_mode & 0o777, status.st_nlink, status.st_mtime > 1) == (0o666, 1, True)
    assert sorted(path.name for path in bystanders.folder.iterdir()) == ["door", "victim.txt"]
    assert not Path("/dev/shm/generated-code-was-here").exists()
    assert bystanders.reached == []
    socket.create_connection(("127.0.0.1", bystanders.port)).close()  # the listener is one that can be reached
    deadline = time.monotonic() + 5
    while not bystanders.reached and time.monotonic() < deadline:
        time.sleep(0.01)
    assert bystanders.reached == ["tcp"]
    bystanders.reached.clear()


def test_no_process_is_left(results: dict[str, RunResult]) -> None:
    assert len(results) == len(NAMES)
    deadline = time.monotonic() + 5
    while processes_in_sandboxes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_in_sandboxes() == []


def test_a_process_that_is_left_would_be_seen() -> None:
    with subprocess.Popen(["bwrap", "--unshare-uts", "--unshare-user", "--ro-bind", "/", "/", "sleep", "20"]) as left:
        deadline = time.monotonic() + 5
        while not processes_in_sandboxes() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes_in_sandboxes()
        left.kill()
