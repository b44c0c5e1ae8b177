"""A key in the session keyring of the tests, as Kerberos and `keyctl` store them."""

import ctypes
import os

import pytest
from rules_bento.base import namespaces

SECRET = "KEYRING-SECRET"
ADD = {"x86_64": 248, "i686": 286, "armv7l": 309, "ppc64le": 269, "s390x": 278}  # others: 217
# Searches for the key in the keyrings of session, user, and user session, reads it by its number, and lists keys.
LOOKING = """
import ctypes
def look(number, key, found="nothing"):
    libc, text = ctypes.CDLL(None), ctypes.create_string_buffer(100)
    call = lambda *words: libc.syscall(number, *(ctypes.c_char_p(w) if isinstance(w, bytes) else w for w in words))
    for keyring in (-3, -4, -5):
        serial = call(10, ctypes.c_int(keyring), b"user", b"rules_bento", 0)
        size = call(11, serial, text, 100, 0) if serial > 0 else 0
        found = text.raw[:size].decode() if size > 0 else found
    size = call(11, ctypes.c_int(key), text, 100, 0)
    found = text.raw[:size].decode() if size > 0 else found
    return found, libc.read(libc.open(b"/proc/keys", 0), text, 100) > 0
"""


def looking() -> str:
    """Add a key, and return code that finds it: FOUND is its content or `nothing`, and LISTED whether keys are listed.

    Skips the test on systems without keyrings.
    """
    machine, libc = os.uname().machine, ctypes.CDLL(None)
    number = namespaces._KEYCTL.get(machine, namespaces._GENERIC_KEYCTL)
    libc.syscall(number, 1, None)  # joins a new session keyring
    words = [ctypes.c_char_p(word) for word in (b"user", b"rules_bento", SECRET.encode())]
    key = libc.syscall(ADD.get(machine, 217), *words, len(SECRET), ctypes.c_int(-3))
    if key < 0:
        pytest.skip("this system has no keyrings")
    code = f"{LOOKING}\nFOUND, LISTED = look({number}, {key})\n"
    names: dict[str, object] = {}
    exec(code, names)
    assert (names["FOUND"], names["LISTED"]) == (SECRET, True)
    return code
