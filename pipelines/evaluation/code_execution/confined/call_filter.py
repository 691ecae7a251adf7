"""The filter of system calls (seccomp): what is in the tables passes, no new process, no way out, no signal to others.

A classic BPF program over `struct seccomp_data`: the call's number, the processor, six arguments of 64 bits.
"""

import errno
import os

from . import system_calls
from .kernel import install_filter

_LOAD, _AND, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x45, 0x06
_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_REFUSE = 0x00050000  # to be or-ed with the error number
_NUMBER_AT, _PROCESSOR_AT, _ARGUMENTS_AT = 0, 4, 16

_CLONE_THREAD = 0x10000
_AF_UNIX, _SOCK_STREAM, _SOCKET_TYPE_MASK = 1, 1, 0xF
# FIONCLEX, FIOCLEX, FIONBIO, FIONREAD, TCGETS: what open, a pipe and isatty need; none sends anything.
_IOCTLS = (0x5450, 0x5451, 0x5421, 0x541B, 0x5401)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, three for locks, F_DUPFD_CLOEXEC; F_SETOWN would signal others.
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 1030)

Instruction = tuple[int, int, int, int]


def forbid_calls() -> None:
    """Put the filter in force for this process, for good. Raises `OSError` where the kernel has no such filters."""
    install_filter(_program(os.getpid()))


def _program(own_id: int) -> list[Instruction]:
    processor = system_calls.architecture()
    if processor is None:
        raise OSError(errno.ENOSYS, "no table of system calls for this processor")
    program = [_load(_PROCESSOR_AT), *_unless(_EQUAL, processor, _KILL), _load(_NUMBER_AT)]
    for number in system_calls.allowed():
        program += _if(_EQUAL, number, _ALLOW)
    for number in system_calls.deadly():
        program += _if(_EQUAL, number, _KILL)
    thread_only = [_load(_argument(0)), *_if(_ANY_BIT, _CLONE_THREAD, _ALLOW), _return(_KILL)]
    program += _for("clone", thread_only)
    # Its flags lie in memory, where no filter sees them; with ENOSYS the C library takes clone instead.
    program += _for("clone3", [_return(_REFUSE | errno.ENOSYS)])
    program += _for("ioctl", _one_of(1, _IOCTLS))
    program += _for("fcntl", _one_of(1, _FCNTLS))
    program += _for("prlimit64", _one_of(0, (0, own_id)))
    own_thread = [_load(_argument(0)), *_if(_EQUAL, own_id, _ALLOW), _return(_KILL)]
    program += _for("tgkill", own_thread)
    joined = [_load(_argument(0)), *_unless(_EQUAL, _AF_UNIX, _KILL), _load(_argument(1))]
    joined += [(_AND, 0, 0, _SOCKET_TYPE_MASK), *_if(_EQUAL, _SOCK_STREAM, _ALLOW), _return(_KILL)]
    program += _for("socketpair", joined)
    no_address = [_load(_argument(4)), *_unless(_EQUAL, 0, _KILL)]
    no_address += [_load(_argument(4) + 4), *_unless(_EQUAL, 0, _KILL), _return(_ALLOW)]
    program += _for("sendto", no_address)
    return [*program, _return(_REFUSE | errno.EPERM)]


def _argument(place: int) -> int:
    """Where the lower half of an argument lies; both processors put it first."""
    return _ARGUMENTS_AT + 8 * place


def _load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def _return(verdict: int) -> Instruction:
    return (_RETURN, 0, 0, verdict)


def _if(test: int, constant: int, verdict: int) -> list[Instruction]:
    return [(test, 0, 1, constant), _return(verdict)]


def _unless(test: int, constant: int, verdict: int) -> list[Instruction]:
    return [(test, 1, 0, constant), _return(verdict)]


def _for(name: str, body: list[Instruction]) -> list[Instruction]:
    """`body` where the call is `name`, else what follows; `body` has to return."""
    return [(_EQUAL, 0, len(body), system_calls.number_of(name)), *body]


def _one_of(place: int, values: tuple[int, ...]) -> list[Instruction]:
    tests = [instruction for value in values for instruction in _if(_EQUAL, value, _ALLOW)]
    return [_load(_argument(place)), *tests, _return(_REFUSE | errno.EPERM)]
