"""The real huggingface_hub in a child process that stays, so that many questions cost one import."""

import json
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

_CHILD = """
import json, sys
from huggingface_hub import *
answers, sys.stdout = sys.stdout, sys.stderr
names = dict(globals(), api=HfApi())
for line in sys.stdin:
    asked = json.loads(line)
    names.update(asked["names"])
    try:
        exec(asked["code"], names)
        said = json.dumps({"answer": names.pop("answer", None)})
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        said = json.dumps({"error": type(error).__name__, "status": status, "message": str(error)})
    print(said, file=answers, flush=True)
"""


class ClientError(Exception):
    """What the client raised: the name of its class, the HTTP status where there was one, and the message."""

    def __init__(self, name: str, status: int | None, message: str) -> None:
        super().__init__(f"{name} ({status}): {message}")
        self.name, self.status = name, status


class RealClient:
    """`run` executes code beside huggingface_hub's names and an `api`, and gives what the code left in `answer`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> "RealClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(timeout=60)

    def run(self, code: str, **names: object) -> Any:
        """The answer of `code`, whose variables `names` are JSON values; a `ClientError` where it raises."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(json.dumps({"code": code, "names": names}), file=self._child.stdin, flush=True)
        said = json.loads(self._child.stdout.readline())
        if "error" in said:
            raise ClientError(said["error"], said["status"], said["message"])
        return said["answer"]
