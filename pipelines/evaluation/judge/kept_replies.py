"""A judge's replies on disk: what was paid once is not asked for again."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path


class KeptReplies:
    """The judge's replies in a JSON-lines file, by the hash of what was asked; without a path they are forgotten.

    A line is written as soon as a reply is there. A line that an interrupted run tore is passed over.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._lock = path, threading.Lock()
        text = path.read_text(encoding="utf-8", errors="replace") if path is not None and path.is_file() else ""
        self._replies = dict(_whole_lines(text))
        self._before = "" if text.endswith("\n") or not text else "\n"  # ends a torn line

    def get(self, key: str) -> str | None:
        """The reply to what was asked under `key`, None if there is none yet."""
        return self._replies.get(key)

    def keep(self, key: str, reply: str) -> None:
        """Append the reply; safe from several threads."""
        with self._lock:
            self._replies[key] = reply
            if self._path is None:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(self._before + json.dumps({"key": key, "reply": reply}) + "\n")
            self._before = ""


def _whole_lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.split("\n"):
        try:
            value = json.loads(line)
            yield value["key"], value["reply"]
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
