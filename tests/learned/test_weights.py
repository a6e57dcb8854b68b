"""Weight files: what goes in comes out; what is damaged, foreign or mismatched is refused in one sentence."""

from __future__ import annotations

import contextlib
import json
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sciml.learned import KINDS, load, load_weights, save_weights, shipped, shipped_names

TENSORS = {"layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "layer.bias": np.ones(2, np.float32)}
SHAPES = {"layer.weight": (2, 3), "layer.bias": (2,)}


@pytest.fixture
def path(tmp_path):
    return save_weights(
        tmp_path / "w.safetensors", "dcd", TENSORS, config={"width": 3}, training={"seed": 1, "loss": 0.5}
    )


def test_round_trip(path):
    found = load_weights(path, kind="dcd")
    assert (found.kind, found.config, found.training) == ("dcd", {"width": 3}, {"seed": 1, "loss": 0.5})
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(found.tensors[name], value)
    found.require(SHAPES, dtype="float32")


def test_a_torch_tensor_is_stored_as_its_values(tmp_path):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.arange(4.0).reshape(2, 2).T)  # not contiguous, with a gradient
    path = save_weights(tmp_path / "t.safetensors", "rim", {"w": weight}, config={})
    np.testing.assert_array_equal(load_weights(path).tensors["w"], [[0, 2], [1, 3]])


@pytest.mark.parametrize(
    ("shapes", "dtype", "sentence"),
    [
        ({**SHAPES, "extra": (1,)}, None, r"lacks the tensor 'extra' of shape \(1,\)"),
        (
            {"layer.weight": (3, 2), "layer.bias": (2,)},
            None,
            r"'layer.weight' has shape \(2, 3\); expected \(3, 2\)",
        ),
        ({"layer.weight": (2, 3)}, None, "holds a tensor 'layer.bias' that this component does not have"),
        (SHAPES, "float64", "'layer.weight' is float32; expected float64"),
    ],
    ids=["missing", "shape", "left-over", "dtype"],
)
def test_first_mismatch_is_named(path, shapes, dtype, sentence):
    with pytest.raises(ValueError, match=sentence):
        load_weights(path).require(shapes, dtype)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    path = save_weights(tmp_path / "w.safetensors", "dcd", {"a": np.array([1.0, np.nan])}, config={})
    with pytest.raises(ValueError, match="'a' contains NaN or infinity"):
        load_weights(path).require({"a": (2,)})


def test_another_kind_is_refused(path):
    with pytest.raises(ValueError, match="holds weights of a 'dcd' component; expected 'rim'"):
        load_weights(path, kind="rim")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00", b"not weights", pickle.dumps({"a": 1}), b"\xff" * 64, b"\x10" + b"\x00" * 7 + b"{" * 16],
)
def test_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"w\.safetensors: (the file is empty|truncated, damaged or not a weight)"
    ):
        load_weights(path)


def test_a_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('code from a weight file was run')",))

    path = tmp_path / "w.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="not a weight file"):
        load_weights(path)


def test_a_header_that_promises_too_much_allocates_nothing(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match="truncated, damaged"):
        load_weights(path)


def test_safetensors_without_our_header_are_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file(TENSORS, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="without the header of sciml"):
        load_weights(tmp_path / "w.safetensors")


def test_a_later_format_is_refused(path, monkeypatch):
    monkeypatch.setattr("sciml.weights.FORMAT", 0)
    with pytest.raises(ValueError, match="written in format 1; this version reads up to 0"):
        load_weights(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_raise_value_errors_only(path, data):
    content = bytearray(path.read_bytes())
    cut = data.draw(st.integers(0, len(content)))
    flips = data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8))
    for at, value in flips:
        content[at] = value
    damaged = path.with_name("damaged.safetensors")
    damaged.write_bytes(bytes(content[:cut]) if not flips else bytes(content))
    with contextlib.suppress(ValueError):
        load_weights(damaged).require(SHAPES)


def test_an_interrupted_write_leaves_the_old_file(path, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(OSError, match="No space left"):
        save_weights(path, "dcd", {"a": np.zeros(1)}, config={})
    assert load_weights(path).config == {"width": 3}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="kind is 'dvd'; expected one of"):
        save_weights(tmp_path / "w.safetensors", "dvd", TENSORS, config={})
    with pytest.raises(ValueError, match=r"expected a name ending in \.safetensors"):
        save_weights(tmp_path / "w.pt", "dcd", TENSORS, config={})
    with pytest.raises(ValueError, match="must hold JSON values only"):
        save_weights(tmp_path / "w.safetensors", "dcd", TENSORS, config={"f": print})
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_weights(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="no weights named 'none' are shipped"):
        shipped("none")


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_weights_load_and_say_how_they_were_made(name):
    found = load_weights(shipped(name))
    assert found.kind in KINDS
    assert found.training["command"]
    assert load(name) is not None
