"""Files appear whole or not at all, and what cannot be written is known before the work."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
import threading

import pytest

from sciml.files import check_output, replaced


def write(path, content=b"new"):
    with replaced(path) as stream:
        stream.write(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "x"
    write(path, b"old")
    with contextlib.suppress(RuntimeError), replaced(path) as stream:
        stream.write(b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "far" / "x")
    write(link)
    assert link.is_symlink()
    assert (tmp_path / "far" / "x").read_bytes() == b"new"


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    """As a device would: renaming a file over /dev/null takes it away from every program."""
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    check_output(pipe)  # does not open it
    write(pipe)
    reader.join()
    assert found == [b"new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_threads_do_not_share_a_partial_file(tmp_path):
    path, inside = tmp_path / "x", threading.Barrier(2)

    def work(letter):
        with replaced(path) as stream:
            inside.wait()
            stream.write(letter * 1000)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in (b"a" * 1000, b"b" * 1000)
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("act", [write, check_output], ids=["write", "check"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/x", "no such folder|No such file"),
        ("file/x", "no such folder|Not a directory"),
        ("folder", "it is a folder|Is a dir"),
    ],
    ids=["missing", "file", "folder"],
)
def test_what_cannot_be_written_is_named(tmp_path, act, name, message):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=message) as caught:
        act(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize(
    "act", [lambda path: write(path, b"x" * 10**5), check_output], ids=["write", "check"]
)
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path, act):
    """A limit on the size of files stands in for the disk: the write fails at the same place."""
    path = tmp_path / "x"
    write(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            act(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_checking_leaves_nothing(tmp_path):
    check_output(None)
    check_output(tmp_path / "x")
    check_output(tmp_path / "deep" / "x", make_folder=True)
    assert names(tmp_path) == ["deep"]
    assert names(tmp_path / "deep") == []
