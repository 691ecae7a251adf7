"""How every program starts and ends: arguments with one-line errors, exit codes 0, 1 and 2."""

import argparse
import errno
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

from pipelines.errors import AnswerIsNo, UserError

# What the disk or the system says no to, in whatever a program does; other errors of files are its own.
_REFUSED_BY_THE_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class ArgumentParser(argparse.ArgumentParser):
    """`argparse` whose errors are `UserError`s and whose `--help` is the program's docstring, unwrapped."""

    def __init__(self, manual: str | None) -> None:
        super().__init__(description=manual, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(
            expected="the flags that --help lists", got=message, remedy=f"see `python {sys.argv[0]} --help`"
        )


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


def run_program(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run `main` on the command line and exit: 0 done, 1 the answer is no, 2 wrong use or bad input."""
    # "install kernels for faster 4-bit on a CPU" is no news for who asked for neither
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # a cast, for each layer and step
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)  # PEFT's own use of an old name
    for stream in (sys.stdout, sys.stderr):  # rows hold what a terminal's encoding may not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        main(None)
        sys.stdout.flush()
        _leave_other_processes()
    except (UserError, AnswerIsNo) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `| head` has read enough; without this Python complains once more while it shuts down
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in _REFUSED_BY_THE_PLACE:
            raise
        where = f" at {error.filename}" if error.filename else ""
        print(f"error: expected room and the right to read and write; got {str(error.strerror).lower()}{where}; mend "
              "that, or choose another place", file=sys.stderr)  # fmt: skip
        sys.exit(UserError.exit_code)
    sys.exit(0)


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
