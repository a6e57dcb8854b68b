"""Reading systems: what is written is read back, and damaged files are refused in one line, cheaply."""

import gzip
import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from sciml.io import load_system, load_vector
from sciml.problems import poisson


@pytest.fixture
def matrix():
    return poisson((6, 5)).A.tocsr()


def write(path, A, b=None):
    """Save a system in the format of the suffix."""
    if path.suffix == ".mat":
        scipy.io.savemat(path, {"A": sp.csc_matrix(A)} | ({} if b is None else {"b": b.reshape(-1, 1)}))
    elif path.suffix == ".npz":
        sp.save_npz(path, sp.csr_array(A))
    else:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "wb") as stream:
            scipy.io.mmwrite(stream, sp.coo_matrix(A), symmetry="symmetric")
    return path


@pytest.mark.parametrize("name", ["A.mtx", "A.mtx.gz", "A.npz", "A.mat", "A.MAT"])
def test_matrix_is_read_back(tmp_path, matrix, name):
    path = write(tmp_path / name.lower(), matrix).rename(tmp_path / name)
    problem = load_system(path)
    assert isinstance(problem.A, sp.csr_array)
    assert problem.A.dtype == np.float64
    assert abs(problem.A - matrix).max() == 0
    assert np.array_equal(problem.b, np.ones(30))
    assert problem.notes == ("the file holds no right-hand side: b is all ones",)
    assert problem.name == name


@pytest.mark.parametrize("format_", ["csr", "csc", "coo", "bsr", "dia"])
def test_every_sparse_format_of_scipy(tmp_path, matrix, format_):
    sp.save_npz(tmp_path / "A.npz", sp.csr_matrix(matrix).asformat(format_))
    assert abs(load_system(tmp_path / "A.npz").A - matrix).max() == 0


def test_dense_npz_with_rhs(tmp_path):
    A, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])
    np.savez(tmp_path / "s.npz", A=A, rhs=b)
    problem = load_system(tmp_path / "s.npz")
    assert np.array_equal(problem.A.toarray(), A)
    assert np.array_equal(problem.b, b)
    assert problem.notes == ("right-hand side: variable rhs of s.npz",)


def test_rhs_of_a_mat_file(tmp_path, matrix):
    b = np.arange(30.0)
    assert np.array_equal(load_system(write(tmp_path / "s.mat", matrix, b)).b, b)


def test_suitesparse_struct(tmp_path, matrix):
    scipy.io.savemat(
        tmp_path / "p.mat", {"Problem": {"A": sp.csc_matrix(matrix), "b": np.full((30, 1), 2.0)}}
    )
    problem = load_system(tmp_path / "p.mat")
    assert abs(problem.A - matrix).max() == 0
    assert np.array_equal(problem.b, np.full(30, 2.0))


def test_key_chooses_the_matrix(tmp_path):
    np.savez(tmp_path / "s.npz", first=np.eye(3), second=2 * np.eye(3))
    assert load_system(tmp_path / "s.npz", key="second").A[0, 0] == 2
    with pytest.raises(ValueError, match=r"which variable is the matrix\? \(found first 3x3, second 3x3\)"):
        load_system(tmp_path / "s.npz")
    with pytest.raises(ValueError, match="holds no variable 'third'"):
        load_system(tmp_path / "s.npz", key="third")


@pytest.mark.parametrize("name", ["b.npy", "b.npz", "b.mat", "b.txt", "b.mtx"])
def test_vectors_are_read_back(tmp_path, name):
    b = np.array([1.5, -2.0, 0.25])
    path = tmp_path / name
    writers = {
        ".npy": lambda: np.save(path, b),
        ".npz": lambda: np.savez(path, b=b),
        ".mat": lambda: scipy.io.savemat(path, {"b": b}),
        ".txt": lambda: np.savetxt(path, b),
        ".mtx": lambda: scipy.io.mmwrite(path, b.reshape(-1, 1)),
    }
    writers[path.suffix]()
    assert np.array_equal(load_vector(path), b)


def test_rhs_file_wins_over_the_one_inside(tmp_path, matrix):
    np.save(tmp_path / "b.npy", np.full(30, 7.0))
    problem = load_system(write(tmp_path / "s.mat", matrix, np.zeros(30)), rhs=tmp_path / "b.npy")
    assert np.array_equal(problem.b, np.full(30, 7.0))
    assert problem.notes == ("right-hand side from b.npy",)


def test_complex_storage_of_real_numbers_is_real(tmp_path):
    np.savez(tmp_path / "s.npz", A=np.eye(2) + 0j)
    assert load_system(tmp_path / "s.npz").A.dtype == np.float64


def test_every_real_example_of_pyamg_is_read():
    pyamg = pytest.importorskip("pyamg")
    folder = Path(pyamg.__file__).parent / "gallery" / "example_data"
    files = sorted(folder.glob("*.mat"))
    assert len(files) >= 5
    for path in files:
        if path.name.startswith("helmholtz"):
            with pytest.raises(ValueError, match="the matrix is complex"):
                load_system(path)
        else:
            assert load_system(path).A.shape[0] > 100


# -- refusals ---------------------------------------------------------------------------------
def npz_of(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npz_member(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def npy_header(shape, dtype="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def mat_with_lying_length():
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"A": np.eye(3)})
    data = bytearray(buffer.getvalue())
    data[132:136] = struct.pack("<I", 2**31)
    return bytes(data)


def mat_with_wrong_index():
    """A sparse matrix with an entry in row 1,000,000 of three: SciPy's own conversion writes there."""
    content = mat_of(A=sp.csc_array(np.diag([2.0, 3.0, 4.0])))
    rows = np.array([0, 1, 2], dtype="<i4").tobytes()
    return content.replace(rows, np.array([0, 1, 10**6], dtype="<i4").tobytes(), 1)


def mat_of(**variables):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables)
    return buffer.getvalue()


def sparse_parts(**changed):
    A = sp.csr_array(np.eye(3))
    parts = {"format": b"csr", "shape": A.shape, "data": A.data, "indices": A.indices, "indptr": A.indptr}
    return npz_of(**{**parts, **changed})


MTX = "%%MatrixMarket matrix coordinate real general\n"
REFUSED = {
    "empty.mtx": (b"", "the file is empty"),
    "foreign.mtx": (b"hello, world\n1 2 3\n", "not a Matrix Market file"),
    "binary.mtx": (bytes(range(256)), "not a Matrix Market file"),
    "header-only.mtx": (MTX.encode(), "truncated, damaged"),
    "short.mtx": ((MTX + "3 3 3\n1 1 1.0\n2 2 1.0\n").encode(), "truncated, damaged"),
    "huge-count.mtx": (
        (MTX + "1000000000 1000000000 4000000000\n1 1 1.0\n").encode(),
        "more than the file can hold",
    ),
    "huge-rows.mtx": (
        (MTX + "1000000000 1000000000 1\n1 1 1.0\n").encode(),
        "a row is empty, so it is singular",
    ),
    "huge-wide.mtx": ((MTX + "1000000000 3 1\n1 1 1.0\n").encode(), "expected a square system"),
    "huge-array.mtx": (
        b"%%MatrixMarket matrix array real general\n100000 100000\n1.0\n",
        "more than the file can hold",
    ),
    "words.mtx": ((MTX + "2 2 2\n1 1 one\n2 2 two\n").encode(), "truncated, damaged"),
    "outside.mtx": ((MTX + "2 2 2\n1 1 1.0\n3 3 1.0\n").encode(), "truncated, damaged"),
    "complex.mtx": (
        b"%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1.0 2.0\n",
        "the matrix is complex",
    ),
    "nul.mtx": ((MTX + "2 2 3\n1 1 2\0\n1 2 -1\n2 2 1\n").encode(), "a byte that is zero"),
    "nan.mtx": ((MTX + "1 1 1\n1 1 nan\n").encode(), "not finite"),
    "wide.mtx": ((MTX + "2 3 3\n1 1 1.0\n2 2 1.0\n2 3 1.0\n").encode(), r"shape \(2, 3\); expected a square"),
    "broken.mtx.gz": (gzip.compress((MTX + "1 1 1\n1 1 1\n").encode())[:-9], "truncated, damaged"),
    "plain.mtx.gz": ((MTX + "1 1 1\n1 1 1\n").encode(), "truncated, damaged"),
    "foreign.npz": (b"PK\x03\x04 no archive", "truncated, damaged"),
    "text.npz": (npz_member("notes.txt", b"hi"), "which is not a NumPy array"),
    "cut.npz": (npz_of(A=np.eye(4))[:-30], "truncated, damaged"),
    "lying.npz": (npz_member("A.npy", npy_header((10**5, 10**5)) + b"\0" * 8), "truncated"),
    "negative.npz": (npz_member("A.npy", npy_header((-1, -3)) + b"\0" * 8), "sizes that are not negative"),
    "float-index.npz": (sparse_parts(indices=np.array([0.0, np.nan, 1.0])), "expected integers"),
    "pickle.npz": (npz_of(A=np.array([[{}]], dtype=object)), "Python objects, which are never loaded"),
    "words.npz": (npz_of(A=np.array([["a"]])), "expected real numbers"),
    "no-matrix.npz": (npz_of(u=np.ones(3), v=np.ones(4)), "which variable is the matrix"),
    "nothing.npz": (npz_of(), "found nothing"),
    "flat.npz": (npz_of(A=np.ones(3)), r"shape \(3,\); expected a square"),
    "zero.npz": (npz_of(A=np.ones((0, 0))), "the matrix is empty"),
    "wrong-index.npz": (sparse_parts(indices=np.array([0, 1, 10**6], dtype=np.int32)), "truncated, damaged"),
    "huge-shape.npz": (sparse_parts(shape=(10**12, 10**12)), "so it is singular"),
    "nan.npz": (npz_of(A=np.array([[np.nan]])), "not finite"),
    "rhs-length.npz": (npz_of(A=np.eye(3), b=np.ones(4)), "has 4 entries; expected 3"),
    "rhs-nan.npz": (npz_of(A=np.eye(1), b=np.array([np.inf])), "the right-hand side holds a value"),
    "rhs-matrix.npz": (npz_of(A=np.eye(2), b=np.eye(2)), "expected a vector"),
    "foreign.mat": (b"x" * 300, "not a MATLAB 5 file"),
    "short.mat": (b"MATLAB", "not a MATLAB 5 file"),
    "hdf.mat": (b"\x89HDF\r\n\x1a\n" + b"\0" * 200, "7.3"),
    "wrong-index.mat": (mat_with_wrong_index(), "truncated, damaged"),
    "lying.mat": (mat_with_lying_length(), "longer than the file"),
    "cut.mat": (mat_of(A=np.eye(20))[:-40], "truncated"),
    "text.mat": (mat_of(A="words"), "found nothing"),
    "cell.mat": (mat_of(A=np.array([[1, "a"]], dtype=object)), "found nothing"),
    "complex.mat": (mat_of(A=np.array([[1j]])), "the matrix is complex"),
    "table.xlsx": (b"x", "unknown file type '.xlsx'; expected .mtx"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    content, message = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            load_system(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert peak < 20e6  # whatever the header announced


def test_missing_files(tmp_path, matrix):
    with pytest.raises(FileNotFoundError, match=r"no\.mtx: no such file"):
        load_system(tmp_path / "no.mtx")
    with pytest.raises(FileNotFoundError, match=r"b\.npy: no such file"):
        load_system(write(tmp_path / "A.npz", matrix), rhs=tmp_path / "b.npy")


def test_vector_file_without_a_vector(tmp_path):
    np.savez(tmp_path / "b.npz", A=np.eye(3))
    with pytest.raises(ValueError, match="holds no vector"):
        load_vector(tmp_path / "b.npz")
