"""The few kernel calls that Python has no function for, by ctypes."""

import ctypes
import os
import struct

_LIBRARY = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_CLONE_NEWNET = 0x40000000
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every processor
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1


def die_with_parent(signal: int) -> None:
    """Have the kernel send `signal` to this process when its parent ends. A change of user cancels it."""
    _check(_LIBRARY.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0))


def forbid_new_privileges() -> None:
    """No program that this process runs can give it more rights."""
    _check(_LIBRARY.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def install_filter(instructions: list[tuple[int, int, int, int]]) -> None:
    """Judge all system calls from now on by a program of (code, jump if true, jump if false, constant)."""
    program = b"".join(struct.pack("=HBBI", *one) for one in instructions)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    _check(_LIBRARY.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0))


def leave_network() -> bool:
    """Move this process into a network of its own without a way out; false where it may not."""
    return _LIBRARY.unshare(_CLONE_NEWNET) == 0


def drop_capabilities() -> None:
    """Give up every right of the superuser that is not tied to the user's number."""
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    _check(_LIBRARY.capset(header, bytes(24)))


def landlock_version() -> int:
    """The version of Landlock's interface, 0 where the kernel has none or has it switched off."""
    return max(0, _LIBRARY.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION))


def create_ruleset(attributes: bytes) -> int:
    """A new Landlock ruleset as a descriptor."""
    return _check(_LIBRARY.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))


def add_path_rule(ruleset: int, access: int, descriptor: int) -> None:
    """Allow `access` on the file or beneath the folder that `descriptor` is open on."""
    _check(_LIBRARY.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", access, descriptor), 0))


def restrict_self(ruleset: int) -> None:
    """Put a Landlock ruleset in force for this process, for good."""
    _check(_LIBRARY.syscall(_RESTRICT_SELF, ruleset, 0))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
