"""Command-line arguments with one-line errors, exit codes, and cleanup when a program is interrupted."""

import argparse
import io
import logging
import math
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

from pipelines.errors import AnswerIsNo, Stopped, UserError, is_out_of_memory
from pipelines.files.disk import disk_fault

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
_SMALLER = "lower the batch size or max_length, or use a machine with more memory"
_MISSING = "the following arguments are required: "
_SECONDS_UNTIL_ENDED = 2.0  # the launcher looks ten times a second whether a process has failed


class ArgumentParser(argparse.ArgumentParser):
    """`argparse` that raises `UserError` and prints the program's docstring, unwrapped, for `--help`."""

    def __init__(self, manual: str | None) -> None:
        super().__init__(description=manual, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        if message.startswith(_MISSING):
            names = message.removeprefix(_MISSING)
            message = f"{names} {'are' if ',' in names else 'is'} missing"
        raise UserError(f"{message.replace('unrecognized arguments', 'unknown argument')}. Usage: {self._usage()}")

    def _usage(self) -> str:
        """The program with its required flags, on one line."""
        needed = [action for action in self._actions if action.required]
        flags = [" ".join([*one.option_strings[:1], str(one.metavar or one.dest.upper())]) for one in needed]
        return " ".join(["python", sys.argv[0], *flags, "(all flags: --help)"])


def add_dtype(
    flags: argparse.ArgumentParser, *more: str, default: str | None = "auto", otherwise: str = "auto"
) -> None:
    """Add `--dtype`, with `more` choices; `otherwise` is the default that help shows."""
    choices = ["auto", "float32", "bfloat16", *more]
    meaning = f"auto: as saved, or float32 if the saved type is slow on this machine (default: {otherwise})"
    flags.add_argument("--dtype", choices=choices, default=default, help=meaning)


def whole_number(text: str) -> int:
    """Parse a whole number of 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def positive_number(text: str) -> int:
    """Parse a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def size_of_files(text: str) -> str:
    """Parse a maximum file size in the spelling of safetensors: 5GB, 500MB."""
    if not re.fullmatch(r"\d+(\.\d+)?[KMGT]B", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of KB, MB, GB or TB, such as 5GB")
    return text


def share(text: str) -> float:
    """Parse a share: above 0 and at most 1."""
    number = not_negative(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and at most 1")
    return number


def not_negative(text: str) -> float:
    """Parse a finite number of 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number


def run_program(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run `main` on the command line and exit: 0 done, 1 the answer is no, 2 wrong use or bad input, 130 after Ctrl-C
    and 143 after `kill`, 138 after SIGUSR1 (Slurm's warning). Half-written folders are removed."""
    # bitsandbytes advises to install CPU kernels, whether or not 4-bit is used
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # a cast, for each layer and step
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)  # PEFT's own use of an old name
    for stream in (sys.stdout, sys.stderr):  # rows may hold characters that the terminal cannot encode
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "WORLD_SIZE" not in os.environ:  # a rank may wait inside gloo or NCCL, where no handler is called
        _clean_up_when_killed()
    try:
        main(None)
        sys.stdout.flush()
        _leave_other_processes()
    except (UserError, AnswerIsNo) as error:
        _say_last(f"error: {' '.join(str(error).split())}")
        sys.exit(error.exit_code)
    except Stopped as stop:
        if os.environ.get("RANK", "0") == "0":  # all stop at the same step
            print(stop, file=sys.stderr, flush=True)
        _leave_other_processes()
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        _say_last("interrupted")
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # `| head` has read enough; without this Python reports the error again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # tokenizers raises a bare one for a full disk
        said = _refused_place(error)
        if said is not None:
            _say_last(f"error: {said}; fix that, or choose another path")
        elif is_out_of_memory(error):
            why = " ".join(str(error).split()) or "Python's allocator"
            _say_last(f"error: out of memory ({why}); {_SMALLER}")
        else:
            raise
        sys.exit(UserError.exit_code)
    sys.exit(0)


def _say_last(line: str) -> None:
    """Print why this process ends. Several of `accelerate launch` mostly end for the same reason: the first one says
    it, and the launcher ends the others while they wait."""
    if os.environ.get("RANK", "0") != "0":
        time.sleep(_SECONDS_UNTIL_ENDED)
    print(line, file=sys.stderr, flush=True)


def _refused_place(error: Exception) -> str | None:
    """A disk or a permission that `error` reports. Other errors are bugs and keep their traceback."""
    filename, fault = getattr(error, "filename", None), disk_fault(error)
    where = f" {filename}" if filename else ""
    if fault is None and isinstance(error, PermissionError):
        return f"cannot open{where}: {str(error.strerror).lower()}"
    return fault and f"cannot write{where}: {fault}"


def _clean_up_when_killed() -> None:
    """Let SIGTERM and SIGUSR1 end this process like an exception, so that temporary folders are removed."""
    masks: list[set[signal.Signals | int]] = []  # before each fork

    def end(number: int, _frame: object) -> NoReturn:
        print(f"terminated by {signal.Signals(number).name}", file=sys.stderr)
        sys.exit(128 + number)

    def hold() -> None:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING))

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())

    def release_in_child() -> None:
        """A pool ends its workers with SIGTERM, and Python may never call the handler in one that waits for a
        semaphore. So a worker has the system's handler, and until it has, the signal is held back: Python would
        discard one that is pending while its handler changes."""
        for one in _ENDING:
            if signal.getsignal(one) is end:
                signal.signal(one, signal.SIG_DFL)
        release()

    for one in _ENDING:
        signal.signal(one, end)
    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=release_in_child)


def _leave_other_processes() -> None:
    """Leave the process group of `accelerate launch`: at interpreter exit gloo's threads can abort the process."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def asks_for_help(arguments: Sequence[str], manual: str | None) -> bool:
    """Print `manual` if `--help` or `-h` is given. Programs that take a recipe have no `ArgumentParser`."""
    asked = "--help" in arguments or "-h" in arguments
    if asked:
        print(manual)
    return asked
