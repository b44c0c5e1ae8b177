"""What isolated code tries in order to leave its namespaces, and what it must be able to do."""

import functools
import subprocess
import sys

# FOUND maps what the code tried to the name of the error, or to `ok`.
REFUSED = r"""
import ctypes, errno, mmap, os, platform, socket
FOUND, libc, text = {}, ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(256)
UNSHARE, CLONE, NEW_USERS = *((97, 220) if platform.machine() == "aarch64" else (272, 56)), 0x10000000

def tried(name, act):
    try:
        act()
        FOUND[name] = "ok"
    except Exception as error:
        FOUND[name] = errno.errorcode.get(getattr(error, "errno", None), repr(error))

def call(*words):
    result = libc.syscall(*map(ctypes.c_long, words))
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    if not result and words[0] in (CLONE, 435):  # the new process
        os._exit(0)

def clone3():
    ctypes.memmove(text, (ctypes.c_uint64 * 11)(NEW_USERS, 0, 0, 0, 17), 88)
    call(435, ctypes.addressof(text), 88)

def of_32_bits():  # getpid
    code = mmap.mmap(-1, 4096, prot=7)
    code.write(b"\xb8\x14\0\0\0\xcd\x80\xc3")
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    if result < 0:
        raise OSError(-result, "")

for name, words in {"vsock": (40, 1), "packet": (17, 3), "alg": (38, 5), "audit": (16, 3, 9), "xdp": (44, 3)}.items():
    tried(name, lambda: socket.socket(*words))
tried("pair", lambda: socket.socketpair(16, 3, 9))
for number in (425, 426, 427):
    tried(f"io_uring {number}", lambda: call(number, 1, ctypes.addressof(text)))
tried("unshare", lambda: call(UNSHARE, NEW_USERS))
tried("clone", lambda: call(CLONE, NEW_USERS | 17, 0, 0, 0, 0))
tried("clone3", clone3)
"""
OF_32_BITS = "tried('32 bits', of_32_bits)\n"
ORDINARY = r"""
import asyncio, multiprocessing, subprocess, sys, threading

async def connect():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
    await reader.read()

def start_thread():
    thread = threading.Thread(target=FOUND.update, args=[{"thread": "ok"}])
    thread.start()
    thread.join()

tried("asyncio", lambda: asyncio.run(connect()))
tried("unix", socket.socketpair)
tried("ipv6", lambda: socket.socket(socket.AF_INET6))
tried("interfaces", socket.if_nameindex)
tried("localhost", lambda: socket.getaddrinfo(socket.gethostname(), 80))
tried("processes", lambda: multiprocessing.get_context("fork").Pool(2).map(abs, range(9)))
tried("program", lambda: subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True))
start_thread()
"""
_NO_FAMILY = dict.fromkeys(("vsock", "packet", "alg", "audit", "xdp", "pair"), "EAFNOSUPPORT")
_NO_CALL = dict.fromkeys([f"io_uring {number}" for number in (425, 426, 427)], "ENOSYS")
_NO_USERS = dict.fromkeys(("unshare", "clone", "clone3"), "ENOSPC")
ALLOWED = dict.fromkeys(("asyncio", "unix", "ipv6", "interfaces", "localhost", "processes", "program", "thread"), "ok")


@functools.cache
def refused() -> tuple[str, dict[str, str]]:
    """Code that sets FOUND, and what FOUND must be. Tries another ABI if the kernel supports it."""
    code, expected = REFUSED, _NO_FAMILY | _NO_CALL | _NO_USERS
    definitions, last = REFUSED.partition("for name, words")[0], f"{OF_32_BITS}print(FOUND['32 bits'])"
    done = subprocess.run([sys.executable, "-c", definitions + last], capture_output=True, text=True, check=False)
    if done.stdout == "ok\n":
        code, expected = code + OF_32_BITS, expected | {"32 bits": "ENOSYS"}
    return code, expected
