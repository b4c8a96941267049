"""What the header of a backup file says of the state it was made of (core/store/backup/backup_file.h).

Standard library only, so the few fields are read from the bytes of the protobuf message (skep/store.proto).
"""
import collections
import struct

MAGIC = b"SKEPBAK\x01"
HEADER_MARK = 10  # BackupHeader.mark; its fields are index, term and the two halves of the hash

Mark = collections.namedtuple("Mark", "index term hash_0 hash_1")


def fields(message):
    """{field number: integer, or bytes} of a message without repeated fields."""
    out, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value
    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            out[tag >> 3] = varint()
        elif tag & 7 == 1:
            out[tag >> 3], at = struct.unpack_from("<Q", message, at)[0], at + 8
        elif tag & 7 == 2:
            size = varint()
            out[tag >> 3], at = message[at:at + size], at + size
        else:
            raise AssertionError(f"no message of ours has fields of type {tag & 7}")
    return out


def mark_of(path):
    """At which log index the state was read, and its hash there."""
    with open(path, "rb") as file:
        begin = file.read(len(MAGIC) + 5)
        size = struct.unpack_from("<I", begin, len(MAGIC) + 1)[0]
        header = fields(file.read(size))
    if begin[:len(MAGIC) + 1] != MAGIC + b"\x01":
        raise AssertionError(f"{path} does not begin as a backup")
    mark = fields(header[HEADER_MARK])
    return Mark(*(mark.get(number, 0) for number in (1, 2, 3, 4)))
