"""The program that holds a pod's namespaces open: a static ELF executable of some two hundred bytes, written out here.

As process 1 of the pod it waits for signals: SIGCHLD makes it reap whatever was orphaned in a shared PID namespace, SIGTERM and
SIGINT end it. The signals are blocked and taken with `rt_sigtimedwait` because the kernel never delivers a signal with a default
action to process 1, but keeps a blocked one for it. Neither a compiler nor a download is needed, and the bytes are the same on
every machine.

    block every signal
    wait:  signal = rt_sigtimedwait(every signal)
           if signal == SIGCHLD: goto reap
           if signal != SIGTERM and signal != SIGINT: goto wait
           exit(0)
    reap:  if wait4(any child, WNOHANG) > 0: goto reap
           goto wait

Sources: the System V ABI supplements of x86-64 and AArch64, `asm/unistd.h` for the call numbers.
"""
from __future__ import annotations

import struct
from collections.abc import Callable

SIGINT, SIGTERM, SIGCHLD = 2, 15, 17

_LOAD_ADDRESS = 0x400000
_HEADERS = 64 + 56  # one ELF header, one program header
_MACHINES = {"amd64": 62, "arm64": 183}


def pause_program(architecture: str) -> bytes:
    """The executable for `architecture`, in OCI's words: `amd64` or `arm64`. Raises `ValueError` for any other."""
    programs: dict[str, Callable[[], bytes]] = {"amd64": _amd64, "arm64": _arm64}
    if architecture not in programs:
        raise ValueError(f"no pause program for {architecture}: it is written for {' and '.join(programs)}")
    code = programs[architecture]()
    return _elf(_MACHINES[architecture], code)


def _elf(machine: int, code: bytes) -> bytes:
    """An ELF64 little-endian executable whose only segment is this file, readable and executable."""
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _LOAD_ADDRESS + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    return header + segment + code


def _amd64() -> bytes:
    block = bytes.fromhex(
        "6aff"  # push -1: the set of every signal, at rsp
        "31ff"  # xor edi, edi: SIG_BLOCK
        "4889e6"  # mov rsi, rsp
        "31d2"  # xor edx, edx
        "6a08 415a"  # r10 = 8: bytes in a set
        "6a0e 58"  # rax = rt_sigprocmask
        "0f05"  # syscall
    )
    wait = bytes.fromhex(
        "4889e7"  # mov rdi, rsp
        "31f6 31d2"  # rsi = rdx = 0: no details, no time limit
        "6a08 415a"  # r10 = 8
        "b880000000"  # eax = rt_sigtimedwait
        "0f05"  # syscall: eax is the signal
    )
    leave = bytes.fromhex("31ff 6a3c 58 0f05")  # exit(0)
    reap = bytes.fromhex(
        "6aff 5f"  # rdi = -1: any child
        "31f6"  # rsi = 0
        "6a01 5a"  # rdx = WNOHANG
        "4531d2"  # r10 = 0
        "6a3d 58"  # rax = wait4
        "0f05"  # syscall
        "85c0"  # test eax, eax
    )
    je, jne, jg, jmp, compare = 0x74, 0x75, 0x7F, 0xEB, b"\x83\xf8"
    # Each compare is 3 bytes and each jump 2, its distance counted from its own end.
    decide_size = 3 * (3 + 2)
    to_reap = decide_size - 5 + len(leave)
    to_exit = decide_size - 10
    decide = compare + bytes([SIGCHLD, je, to_reap]) + compare + bytes([SIGTERM, je, to_exit])
    decide += compare + bytes([SIGINT, jne, -(len(wait) + decide_size) & 0xFF])
    again = bytes([jg, -(len(reap) + 2) & 0xFF])
    back = bytes([jmp, -(len(wait) + decide_size + len(leave) + len(reap) + 4) & 0xFF])
    return block + wait + decide + leave + reap + again + back


def _arm64() -> bytes:
    svc, set_at_sp = 0xD4000001, 0x910003E0  # add xN, sp, #0

    def mov(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    def all_ones(register: int) -> int:
        return 0x92800000 | register

    def compare(value: int) -> int:
        return 0x7100001F | value << 10  # cmp w0, #value

    def branch(condition: int, words: int) -> int:
        return 0x54000000 | (words & 0x7FFFF) << 5 | condition

    equal, not_equal, greater = 0x0, 0x1, 0xC
    block = [all_ones(9), 0xF81F0FE9, mov(0, 0), set_at_sp | 1, mov(2, 0), mov(3, 8), mov(8, 135), svc]  # str x9, [sp, #-16]!
    wait = [set_at_sp, mov(1, 0), mov(2, 0), mov(3, 8), mov(8, 137), svc]
    leave = [mov(0, 0), mov(8, 93), svc]
    reap = [all_ones(0), mov(1, 0), mov(2, 1), mov(3, 0), mov(8, 260), svc, compare(0)]
    decide = [compare(SIGCHLD), branch(equal, 5 + len(leave)), compare(SIGTERM), branch(equal, 3), compare(SIGINT)]
    decide.append(branch(not_equal, -(len(wait) + len(decide))))
    again = [branch(greater, -len(reap))]
    back = [0x14000000 | -(len(wait) + len(decide) + len(leave) + len(reap) + len(again)) & 0x3FFFFFF]
    words = block + wait + decide + leave + reap + again + back
    return struct.pack(f"<{len(words)}I", *words)
