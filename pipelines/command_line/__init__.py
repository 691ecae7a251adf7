"""How every program starts and ends: arguments with one-line errors, exit codes, nothing left half written."""

import argparse
import errno
import io
import logging
import math
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

from pipelines.errors import AnswerIsNo, UserError

# What the disk or the system says no to, in whatever a program does; other errors of files are its own.
_REFUSED_BY_THE_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

_PLAINER = {"the following arguments are required": "missing argument", "unrecognized arguments": "unknown argument"}


class ArgumentParser(argparse.ArgumentParser):
    """`argparse` whose errors are `UserError`s and whose `--help` is the program's docstring, unwrapped."""

    def __init__(self, manual: str | None) -> None:
        super().__init__(description=manual, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        for theirs, ours in _PLAINER.items():
            message = message.replace(theirs, ours)
        remedy = f"see `python {sys.argv[0]} --help`"
        raise UserError(
            expected="the flags that --help lists", got=message, remedy=remedy, message=f"{message}; {remedy}"
        )


def add_dtype(
    flags: argparse.ArgumentParser, *more: str, default: str | None = "auto", otherwise: str = "auto"
) -> None:
    """Add `--dtype`, with `more` choices; help says that the default is `otherwise`."""
    choices = ["auto", "float32", "bfloat16", *more]
    meaning = f"auto: as saved, or float32 where this machine is slow in that (default: {otherwise})"
    flags.add_argument("--dtype", choices=choices, default=default, help=meaning)


def positive_number(text: str) -> int:
    """The type of a flag that counts something: a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def size_of_files(text: str) -> str:
    """The type of a flag that limits the size of files, as safetensors files are limited: 5GB, 500MB."""
    if not re.fullmatch(r"\d+(\.\d+)?[KMGT]B", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of KB, MB, GB or TB, such as 5GB")
    return text


def share(text: str) -> float:
    """The type of a flag for a part of a whole: above 0, at most 1."""
    number = not_negative(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and at most 1")
    return number


def not_negative(text: str) -> float:
    """The type of a flag for a bound: a number of 0 or more, neither infinite nor NaN, which no comparison heeds."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number


def run_program(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run `main` on the command line and exit: 0 done, 1 the answer is no, 2 wrong use or bad input, 130 and 143 ended
    by Ctrl-C and by `kill`, after removing what was half written."""
    # "install kernels for faster 4-bit on a CPU" is no news for who asked for neither
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # a cast, for each layer and step
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)  # PEFT's own use of an old name
    for stream in (sys.stdout, sys.stderr):  # rows hold what a terminal's encoding may not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "WORLD_SIZE" not in os.environ:  # a rank may wait for another inside gloo or NCCL, where no handler is called
        _clean_up_when_killed()
    try:
        main(None)
        sys.stdout.flush()
        _leave_other_processes()
    except (UserError, AnswerIsNo) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # `| head` has read enough; without this Python complains once more while it shuts down
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in _REFUSED_BY_THE_PLACE:
            raise
        verb = "open" if error.errno in (errno.EACCES, errno.EPERM) else "write"
        where = f" {error.filename}" if error.filename else ""
        print(f"error: cannot {verb}{where}: {str(error.strerror).lower()}; fix that, or choose another place",
              file=sys.stderr)  # fmt: skip
        sys.exit(UserError.exit_code)
    sys.exit(0)


def _clean_up_when_killed() -> None:
    """Let SIGTERM end this process as an exception does, so that hidden folders are removed on the way."""
    program = os.getpid()

    def end(number: int, _frame: object) -> NoReturn:
        if os.getpid() != program:  # a worker that was killed between the fork and the line below
            os._exit(128 + number)
        print("terminated", file=sys.stderr)
        sys.exit(128 + number)

    def end_at_once() -> None:
        """A pool ends its workers with SIGTERM. Python calls no handler in one that waits for a semaphore, if the
        signal came just before: the worker, and with it the program, would wait forever."""
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, end)
    os.register_at_fork(after_in_child=end_at_once)


def _leave_other_processes() -> None:
    """Leave the group of `accelerate launch`: at the interpreter's own end gloo's threads can abort the process."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def asks_for_help(arguments: Sequence[str], manual: str | None) -> bool:
    """Print `manual` if `--help` or `-h` is there: a program of recipes has no parser until torch is loaded."""
    asked = "--help" in arguments or "-h" in arguments
    if asked:
        print(manual)
    return asked
