"""Store finished answers on disk, so that an interrupted call can be resumed."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.errors import UserError
from pipelines.inference.processes import is_main_process, processes


@dataclass(frozen=True)
class Answer:
    """A model's answer. `token_ids` are all generated tokens with the end token, if any; `n_tokens` counts them without
    it. `stopped` is true only if the model produced an end token. `text` has no special tokens."""

    text: str
    n_tokens: int
    stopped: bool
    token_ids: tuple[int, ...]


class AnswerStore:
    """Answers by key in JSON lines, on disk when `add` returns. Each process appends to its own file, `path` or
    `path.1`, `path.2`, ..., and reads all of them at its start. An incomplete last line (after a kill) is ignored.
    Raises `UserError` for any other line that is no answer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._finished: dict[str, Answer] = {}
        self._is_whole = False  # whether our own file ends with a line end
        for file in self.files():
            self._finished |= _answers_in(file)

    def __len__(self) -> int:
        return len(self._finished)

    def files(self) -> list[Path]:
        """The existing files of all processes."""
        numbered = self.path.parent.glob(f"{self.path.name}.*")
        others = sorted(file for file in numbered if file.name.removeprefix(f"{self.path.name}.").isdecimal())
        return [self.path, *others] if self.path.is_file() else others

    def get(self, key: str) -> Answer | None:
        """The finished answer, None without one."""
        return self._finished.get(key)

    def add(self, answers: Mapping[str, Answer]) -> None:
        """Append `answers` to this process's file."""
        rank = processes().process_index
        own = self.path if rank == 0 else self.path.with_name(f"{self.path.name}.{rank}")
        lines = "".join(json.dumps({"key": key, **asdict(answer)}) + "\n" for key, answer in answers.items())
        own.parent.mkdir(parents=True, exist_ok=True)
        with own.open("ab+") as file:
            if not self._is_whole:
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)  # an incomplete last line
                self._is_whole = True
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())
        self._finished |= answers

    def remove(self) -> None:
        """Remove all files, once the answers are saved elsewhere."""
        for file in self.files():
            file.unlink(missing_ok=True)


def open_answer_store(output: Path, *, resume: bool) -> AnswerStore:
    """Open the store for `output`: output.partial, which an interrupted call leaves behind. Raises `UserError` if it
    exists without `resume`."""
    store = AnswerStore(output.with_name(f"{output.name}.partial"))
    if store.files() and not resume and is_main_process():  # other processes may have started to write
        problem = f"{store.files()[0]} has {len(store)} answers of an interrupted call"
        raise UserError(problem, "add --resume to continue it, or delete the file to start again")
    return store


def _answers_in(file: Path) -> dict[str, Answer]:
    answers = {}
    whole_lines = file.read_bytes().split(b"\n")[:-1]  # text after the last line end is incomplete
    for number, line in enumerate(whole_lines, start=1):
        try:
            entry = json.loads(line)
            token_ids = tuple(map(int, entry["token_ids"]))
            answers[entry["key"]] = Answer(
                str(entry["text"]), int(entry["n_tokens"]), bool(entry["stopped"]), token_ids
            )
        except (ValueError, KeyError, TypeError) as error:
            problem = f"line {number} of {file} is not a finished answer: {line[:60].decode(errors='replace')!r}"
            raise UserError(problem, "remove that line, or the file to start again") from error
    return answers
