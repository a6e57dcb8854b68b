"""How valid files are damaged: bytes, numbers in text, and the structure of the formats themselves.

Every mutation is ``(content, rng) -> content``. `mutate` draws one to three of those that fit the file, all
of their randomness from the generator it is given, so an input is known by its number.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["PAYLOAD", "mutate"]

Rng = np.random.Generator
Mutation = Callable[[bytes, Rng], bytes]

PAYLOAD = "SCIML_FUZZ_PAYLOAD"
"""Name of the environment variable that the code hidden in files would set."""

INTEGERS = (
    0, 1, -1, 2, 3, 127, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 10**9, 10**12, 2**62, 2**63 - 1,
)  # fmt: skip
WORDS = ("", "0", "-1", "1e999", "-1e999", "nan", "inf", "1e-400", "x", "1.5", "4294967296", "1000000000",
         "99999999999999999999", "0x10", "1_0", "9" * 5000, "\x00", "%", "ö")  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, 10**9, 10**30, "", "x", "O", "🙂", [], {}, [[]], [[[1]], 2],
    {"a": 1}, {"$array": "x"}, {"$array": {}}, {"$float": "no"}, {"$items": [[{}, 1]]}, {"$items": 3},
    [0] * 40, "9" * 5000,
    {"array": [1], "dtype": "float64", "shape": [10**12]}, {"array": "x", "dtype": "O", "shape": []},
)  # fmt: skip
SHAPES = (
    (10**12,), (10**6, 10**6), (-1,), (0,), (), (2**63,), (3, -3), (1,) * 40, (2**32, 2**32), (True, 2),
    (1.5,),
)  # fmt: skip
DTYPES = (
    "|O", "<f8", ">f8", "<c16", "|S0", "<U4", "<U1000000000", "|V9", "<M8[s]", "|b1", "<f2", "<i8", "|u1", "",
    "<g16", "zz", [("a", "<f8"), ("b", "|O")], [("a", "<f8", (10**9,))], [("a", [("b", "<i4")])],
)  # fmt: skip


class _Code:
    def __reduce__(self) -> Any:
        return exec, (f"import os; os.environ[{PAYLOAD!r}] = '1'",)


# -- bytes ------------------------------------------------------------------------------------
def truncate(content: bytes, rng: Rng) -> bytes:
    return content[: rng.integers(len(content) + 1)]


def flip_bits(content: bytes, rng: Rng) -> bytes:
    out = bytearray(content)
    for at in rng.integers(len(out), size=rng.integers(1, 9)):
        out[at] ^= 1 << int(rng.integers(8))
    return bytes(out)


def flip_early_bits(content: bytes, rng: Rng) -> bytes:
    """Where headers are."""
    head = min(len(content), 512)
    return flip_bits(content[:head], rng) + content[head:]


def put_integer(content: bytes, rng: Rng) -> bytes:
    """A telling integer of some width and byte order, somewhere, mostly early."""
    width, order = int(rng.choice([1, 2, 4, 8])), str(rng.choice(["little", "big"]))
    value = INTEGERS[rng.integers(len(INTEGERS))] % 2 ** (8 * width)
    reach = len(content) if rng.random() < 0.5 else min(len(content), 600)
    at = int(rng.integers(max(1, reach - width)))
    at -= at % width if rng.random() < 0.7 else 0
    return content[:at] + value.to_bytes(width, order) + content[at + width :]


def cut_out(content: bytes, rng: Rng) -> bytes:
    low, high = sorted(rng.integers(len(content) + 1, size=2))
    return content[:low] + content[high:]


def repeat(content: bytes, rng: Rng) -> bytes:
    low, high = sorted(rng.integers(len(content) + 1, size=2))
    return content[:high] + content[low:high] * int(rng.integers(1, 4)) + content[high:]


def insert(content: bytes, rng: Rng) -> bytes:
    at, count = int(rng.integers(len(content) + 1)), int(rng.integers(1, 64))
    new = rng.bytes(count) if rng.random() < 0.5 else b"\0" * count
    return content[:at] + new + content[at:]


def replace_all(content: bytes, rng: Rng) -> bytes:
    """Nothing of the file is left: noise, zeros, a pickle that runs code, another format's first bytes."""
    others = (
        rng.bytes(int(rng.integers(1, 200))), b"\0" * 100, pickle.dumps(_Code()), b"%PDF-1.4\n", b"\n" * 50,
        b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\xff\xfe" * 20, content[::-1],
        np.lib.format.MAGIC_PREFIX + b"\x03\x00" + b"\xff" * 8, b"[" * 100_000, b'{"a":' * 50_000,
    )  # fmt: skip
    return others[rng.integers(len(others))]


BYTES: tuple[Mutation, ...] = (
    truncate, flip_bits, flip_early_bits, put_integer, put_integer, cut_out, repeat, insert, replace_all,
)  # fmt: skip


# -- text -------------------------------------------------------------------------------------
def put_word(content: bytes, rng: Rng) -> bytes:
    """Another word in place of one of the text."""
    words = list(re.finditer(rb"[^\s,\[\]{}()]+", content[:4000]))
    if not words:
        return content
    word = words[rng.integers(len(words))]
    return content[: word.start()] + WORDS[rng.integers(len(WORDS))].encode() + content[word.end() :]


def shuffle_lines(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


TEXT: tuple[Mutation, ...] = (put_word, put_word, put_word, shuffle_lines)


# -- JSON -------------------------------------------------------------------------------------
def change_value(tree: Any, rng: Rng) -> Any:
    """A JSON tree with one value changed, left out or repeated."""
    if isinstance(tree, dict) and tree and rng.random() < 0.95:
        key = list(tree)[rng.integers(len(tree))]
        out = dict(tree)
        if rng.random() < 0.1:
            del out[key]
        elif rng.random() < 0.05:
            out[str(key) + "x"] = out.pop(key)
        else:
            out[key] = change_value(tree[key], rng)
        return out
    if isinstance(tree, list) and tree and rng.random() < 0.8:
        at = int(rng.integers(len(tree)))
        new = [] if rng.random() < 0.1 else [change_value(tree[at], rng)]
        return [*tree[:at], *new, *tree[at + (rng.random() < 0.95) :]]
    if isinstance(tree, int) and not isinstance(tree, bool) and rng.random() < 0.5:
        return INTEGERS[rng.integers(len(INTEGERS))]
    return VALUES[rng.integers(len(VALUES))]


def change_json_line(content: bytes, rng: Rng) -> bytes:
    """One of the values, a line each."""
    lines = content.split(b"\n")
    at = int(rng.integers(len(lines)))
    return b"\n".join([*lines[:at], change_json(lines[at], rng), *lines[at + 1 :]])


def change_json(content: bytes, rng: Rng) -> bytes:
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return json.dumps(change_value(tree, rng)).encode()


# -- NumPy ------------------------------------------------------------------------------------
def npy(shape: Any, dtype: Any, data: bytes, version: tuple[int, int] = (1, 0), order: Any = False) -> bytes:
    """An ``.npy`` file whose header says what the arguments say, true or not."""
    text = repr({"descr": dtype, "fortran_order": order, "shape": shape}).encode() + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return np.lib.format.MAGIC_PREFIX + bytes(version) + length + text + data


def change_npy(content: bytes, rng: Rng) -> bytes:
    """Another shape, dtype or version in the header, or objects instead of numbers."""
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception:  # damaged already
        return content
    if rng.random() < 0.1:
        return npy((1,), "|O", pickle.dumps([_Code()]))
    shape: Any = array.shape
    dtype: Any = array.dtype.str
    if rng.random() < 0.6:
        shape = SHAPES[rng.integers(len(SHAPES))]
        if rng.random() < 0.3:
            shape = tuple(int(rng.choice(INTEGERS)) for _ in range(max(1, array.ndim)))
    if rng.random() < 0.4:
        dtype = DTYPES[rng.integers(len(DTYPES))]
    version = ((1, 0), (1, 0), (2, 0), (3, 0), (9, 9))[rng.integers(5)]
    order = (False, False, True, None, "x")[rng.integers(5)]
    return npy(shape, dtype, array.tobytes()[: rng.integers(array.nbytes + 1)], version, order)


def change_npz(content: bytes, rng: Rng) -> bytes:
    """Other arrays under the same names, other names, objects, bombs, and sizes that lie."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # damaged already
        return content
    if not members:
        return content
    name = list(members)[rng.integers(len(members))]
    what = int(rng.integers(9))
    if what <= 3:
        members[name] = change_npy(members[name], rng)
    elif what == 4:
        members[name] = any_of(BYTES, members[name], rng)
    elif what == 5:
        del members[name]
    elif what == 6:
        other = ("../../out.npy", "/etc/out.npy", "A.npy", "b", "x" * 300 + ".npy", "ö.npy", "kspace.npy")
        members[other[rng.integers(len(other))]] = members[name]
    elif what == 7:  # a bomb: zeros that deflate to a thousandth
        members[name] = npy((4 * 10**6,), "<f8", b"\0" * (32 * 10**6))
    out = io.BytesIO()
    method = zipfile.ZIP_STORED if rng.random() < 0.5 and what != 7 else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(out, "w", method) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    result = out.getvalue()
    if what == 8:  # both places where an archive keeps the size of a member
        lie = struct.pack("<I", int(rng.choice([0, 10**6, 2**31, 2**32 - 1])))
        for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            if rng.random() < 0.7:
                at = result.find(mark) + offset
                result = result[:at] + lie + result[at + 4 :]
    return result


# -- safetensors ------------------------------------------------------------------------------
def change_safetensors(content: bytes, rng: Rng) -> bytes:
    """Another value in the header of the format, or in ours inside it."""
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        ours = json.loads(header["__metadata__"]["sciml"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return content
    if rng.random() < 0.7:
        header["__metadata__"]["sciml"] = json.dumps(change_value(ours, rng))
    else:
        header = change_value(header, rng)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


# -- compression ------------------------------------------------------------------------------
def inside_gzip(inner: Mutation) -> Mutation:
    def change(content: bytes, rng: Rng) -> bytes:
        try:
            return gzip.compress(inner(gzip.decompress(content), rng), mtime=0)
        except (OSError, EOFError, zlib.error):
            return content

    return change


def inside_mat(content: bytes, rng: Rng) -> bytes:
    """Damage within the first compressed variable of a MATLAB file, whose length then fits again."""
    if len(content) < 136 or content[126:128] != b"IM":
        return content
    kind, length = struct.unpack("<II", content[128:136])
    try:
        inner = zlib.decompress(content[136 : 136 + length]) if kind == 15 else content[136 : 136 + length]
    except zlib.error:
        return content
    inner = any_of((put_integer, put_integer, put_integer, flip_early_bits, truncate), inner, rng)
    if kind == 15:
        inner = zlib.compress(inner)
    return content[:128] + struct.pack("<II", kind, len(inner)) + inner + content[136 + length :]


# -- drawing ----------------------------------------------------------------------------------
def any_of(mutations: tuple[Mutation, ...], content: bytes, rng: Rng) -> bytes:
    return mutations[rng.integers(len(mutations))](content, rng) if content else rng.bytes(8)


def _text(content: bytes, rng: Rng) -> bytes:
    return any_of(TEXT, content, rng)


def _bytes(content: bytes, rng: Rng) -> bytes:
    return any_of(BYTES, content, rng)


KINDS: dict[str, tuple[Mutation, ...]] = {
    ".mtx": (_bytes, _text, _text),
    ".mtx.gz": (_bytes, inside_gzip(_text), inside_gzip(_bytes)),
    ".txt": (_bytes, _text),
    ".hdr": (_bytes, _text),
    ".npy": (_bytes, change_npy, change_npy),
    ".npz": (_bytes, change_npz, change_npz),
    ".mat": (_bytes, inside_mat, inside_mat),
    ".jsonl": (_bytes, _text, change_json_line, change_json_line, change_json_line),
    ".json": (_bytes, _text, change_json, change_json),
    ".toml": (_bytes, _text, _text),
    ".safetensors": (_bytes, change_safetensors, change_safetensors),
    ".nii.gz": (_bytes, inside_gzip(_bytes), inside_gzip(flip_early_bits), inside_gzip(put_integer)),
}
"""Suffix -> what fits it; bytes alone for any other."""


def mutate(name: str, content: bytes, rng: Rng) -> bytes:
    """`content`, damaged as files called `name` can be; one in twenty is left whole."""
    if rng.random() < 0.05:
        return content
    suffix = next((s for s in KINDS if name.endswith(s)), "")
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        content = any_of(KINDS.get(suffix, (_bytes,)), content, rng)
    return content
