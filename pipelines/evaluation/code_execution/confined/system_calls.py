"""The system calls that confined code may make, by number on the two processors that are served.

Numbers: Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h. What is in neither table
fails with EPERM; what is in `DEADLY` ends the process, because no honest answer needs it.
"""

import platform

_ABSENT = -1
_COLUMN = {"x86_64": 0, "aarch64": 1}

# Paths are Landlock's concern. Missing on purpose, since Landlock does not govern them: chmod, chown, utime, xattr,
# truncate by path; and links and special files, which would outlive the run.
_FILES = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "lseek": (8, 62), "close": (3, 57), "close_range": (436, 436), "open": (2, _ABSENT),
    "openat": (257, 56), "creat": (85, _ABSENT), "stat": (4, _ABSENT), "lstat": (6, _ABSENT), "fstat": (5, 80),
    "newfstatat": (262, 79), "statx": (332, 291), "access": (21, _ABSENT), "faccessat": (269, 48),
    "faccessat2": (439, 439), "readlink": (89, _ABSENT), "readlinkat": (267, 78), "getcwd": (79, 17),
    "chdir": (80, 49), "fchdir": (81, 50), "getdents64": (217, 61), "dup": (32, 23), "dup2": (33, _ABSENT),
    "dup3": (292, 24), "ftruncate": (77, 46), "fallocate": (285, 47), "fsync": (74, 82), "fdatasync": (75, 83),
    "flock": (73, 32), "mkdir": (83, _ABSENT), "mkdirat": (258, 34), "rmdir": (84, _ABSENT),
    "unlink": (87, _ABSENT), "unlinkat": (263, 35), "rename": (82, _ABSENT), "renameat": (264, 38),
    "renameat2": (316, 276), "umask": (95, 166),
}  # fmt: skip
_MEMORY = {
    "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216), "madvise": (28, 233),
    "brk": (12, 214),
}  # fmt: skip
_THREADS_AND_OWN_SIGNALS = {
    "futex": (202, 98), "set_robust_list": (273, 99), "get_robust_list": (274, 100), "rseq": (334, 293),
    "set_tid_address": (218, 96), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigpending": (127, 136), "rt_sigreturn": (15, 139),
    "rt_sigtimedwait": (128, 137), "sigaltstack": (131, 132), "restart_syscall": (219, 128), "exit": (60, 93),
    "exit_group": (231, 94), "getitimer": (36, 102), "setitimer": (38, 103), "alarm": (37, _ABSENT),
    "pause": (34, _ABSENT), "wait4": (61, 260), "waitid": (247, 95),
}  # fmt: skip
_TIME_AND_WAITING = {
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "time": (201, _ABSENT), "times": (100, 153), "getrusage": (98, 165),
    "select": (23, _ABSENT), "pselect6": (270, 72), "poll": (7, _ABSENT), "ppoll": (271, 73),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, _ABSENT), "epoll_pwait": (281, 22),
    "eventfd2": (290, 19), "pipe": (22, _ABSENT), "pipe2": (293, 59),
}  # fmt: skip
# An event loop wakes itself by a pair of joined sockets; a socket that could reach anyone cannot be made.
_JOINED_SOCKETS = {
    "recvfrom": (45, 207), "shutdown": (48, 210), "getsockopt": (55, 209), "setsockopt": (54, 208),
    "getsockname": (51, 204), "getpeername": (52, 205),
}  # fmt: skip
_WHO_AND_WHERE = {
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158), "getresuid": (118, 148),
    "getresgid": (120, 150), "getpgrp": (111, _ABSENT), "getpgid": (121, 155), "getsid": (124, 156),
    "getcpu": (309, 168), "getpriority": (140, 141), "uname": (63, 160), "sysinfo": (99, 179),
    "getrandom": (318, 278), "getrlimit": (97, 163),
}  # fmt: skip
_ALLOWED = _FILES | _MEMORY | _THREADS_AND_OWN_SIGNALS | _TIME_AND_WAITING | _JOINED_SOCKETS | _WHO_AND_WHERE

_DEADLY = {
    "fork": (57, _ABSENT), "vfork": (58, _ABSENT), "execve": (59, 221), "execveat": (322, 281), "socket": (41, 198),
    "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    "sendmsg": (46, 211), "sendmmsg": (307, 269), "kill": (62, 129), "tkill": (200, 130), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "mount": (165, 40), "unshare": (272, 97), "setns": (308, 268),
    "chroot": (161, 51), "pivot_root": (155, 41), "bpf": (321, 280), "io_uring_setup": (425, 425),
}  # fmt: skip
# Allowed or not by their arguments.
_JUDGED = {
    "clone": (56, 220), "clone3": (435, 435), "ioctl": (16, 29), "fcntl": (72, 25), "socketpair": (53, 199),
    "sendto": (44, 206), "tgkill": (234, 131), "prlimit64": (302, 261),
}  # fmt: skip
_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def architecture() -> int | None:
    """The kernel's number for this processor, None for one without a table here."""
    return _AUDIT_ARCHITECTURE.get(platform.machine())


def allowed() -> list[int]:
    """The numbers of calls that are allowed whatever their arguments."""
    return _numbers(_ALLOWED)


def deadly() -> list[int]:
    """The numbers of calls that end the process."""
    return _numbers(_DEADLY)


def number_of(name: str) -> int:
    """The number of a call that is judged by its arguments."""
    return _JUDGED[name][_COLUMN[platform.machine()]]


def _numbers(table: dict[str, tuple[int, int]]) -> list[int]:
    column = _COLUMN[platform.machine()]
    return [numbers[column] for numbers in table.values() if numbers[column] != _ABSENT]
