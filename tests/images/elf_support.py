"""Libraries whose tables name what a test needs."""

import struct


def library_with_tables(size, dynamic_at, dynamic, parts, length=0):
    """A library with a dynamic table, and with other parts by place."""
    table = b"".join(struct.pack("<QQ", *entry) for entry in dynamic)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, max(size, 0x1000), max(size, 0x1000), 0x1000)
    linked = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, dynamic_at, length or len(table), len(table), 8)
    body = bytearray(size)
    for place, data in ({0: head + load + linked, dynamic_at: table} | parts).items():
        body[place : place + len(data)] = data
    return bytes(body)


def library_that_names_itself(count, strings=b"GLIB\0", length=0):
    """A library of a kB whose table of versions goes round in a circle, so that its two counts multiply."""
    dynamic = [(5, 0x300), (10, len(strings)), (0x6FFFFFFE, 0x3C0), (0x6FFFFFFF, count), (1, 0), (0, 0)]
    version = struct.pack("<HHIII", 1, 65535, 0, 16, 0)
    made = library_with_tables(0x400, 64 + 2 * 56, dynamic, {0x300: strings}, length)
    return made[:0x3C0] + version + made[0x3D0:]
