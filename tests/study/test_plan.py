"""Plans: what a file means, and that what is wrong with it is one clear sentence before any work."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from sciml.problems import GEOMETRIES
from sciml.study import Plan

SMALL = {"problems": [{"kind": "poisson"}], "sizes": [[8, 8]], "solvers": ["cg"]}


def plan(**changes):
    return Plan.from_dict({**SMALL, **changes})


def test_every_combination_once_and_all_solvers_on_a_system_before_the_next():
    made = plan(sizes=[[8, 8], [12, 8]], seeds=[3, 1], solvers=["cg", "sor"])
    keys = [point.key for point in made.points()]
    assert len(made) == len(keys) == len(set(keys)) == 8
    assert keys[:3] == [
        ("poisson", "8x8", 3, "cg"),
        ("poisson", "8x8", 3, "sor"),
        ("poisson", "8x8", 1, "cg"),
    ]


def test_a_problem_may_have_sizes_and_seeds_of_its_own():
    made = plan(
        problems=[{"kind": "poisson"}, {"kind": "heat", "dt": 0.1, "sizes": [[9, 9, 9]], "seeds": [7]}]
    )
    assert [(p.sizes, p.seeds) for p in made.problems] == [(((8, 8),), (0,)), (((9, 9, 9),), (7,))]


@pytest.mark.parametrize("kind", ["poisson", "heat", "anisotropic", "jump_coefficient"])
def test_kinds_are_built_with_their_options(kind):
    made = plan(problems=[{"kind": kind, "rhs": "smooth", **({"dt": 0.1} if kind == "heat" else {})}])
    problem = made.problems[0].build((8, 8), 0)
    assert problem.b.shape == (8, 8)
    assert problem.name.startswith(kind.replace("_", " "))


@pytest.mark.parametrize("obstacles", GEOMETRIES)
@pytest.mark.parametrize("size", [[64, 64], [40, 40, 40]], ids=["2d", "3d"])
def test_the_trial_of_options_refuses_no_geometry(obstacles, size):
    assert len(plan(problems=[{"kind": "poisson", "obstacles": obstacles}], sizes=[size], seeds=[5])) == 1


def test_default_names_say_what_sets_entries_apart():
    made = plan(
        problems=[{"kind": "poisson"}, {"kind": "poisson", "obstacles": "porous"}],
        solvers=[
            {"method": "sor", "omega": 1.5},
            {"method": "cg+multigrid", "preconditioner": {"cycle": "W"}},
            {"method": "cg", "weights": "multigrid"},
            {"method": "cg", "name": "plain"},
        ],
    )
    assert [p.name for p in made.problems] == ["poisson", "poisson porous"]
    assert [m.name for m in made.solvers] == [
        "sor (omega = 1.5)",
        "cg+multigrid (cycle = W)",
        "cg + multigrid",
        "plain",
    ]


def test_weights_and_settings_reach_the_preconditioner():
    pytest.importorskip("torch")
    made = plan(
        solvers=[
            {"method": "cg+multigrid", "preconditioner": {"sweeps": 3}},
            {"method": "cg", "weights": "multigrid"},
            {"method": "fcg", "weights": "dcd2d"},
        ]
    )
    A = made.problems[0].build((16, 16), 0).A
    kinds = [type(method.factory(A)).__name__ for method in made.solvers]
    assert kinds == ["Multigrid", "LearnedMultigrid", "DCDNetwork"]


@pytest.fixture
def folder(tmp_path):
    sp.save_npz(tmp_path / "A.npz", sp.csr_array(np.diag([1.0, 2.0, 3.0])))
    (tmp_path / "broken.mtx").write_text("nothing")
    return tmp_path


def test_a_file_is_one_size_and_its_content_part_of_the_study(folder):
    path = folder / "study.toml"
    path.write_text('solvers = ["cg", "splu"]\n[[problems]]\nfile = "A.npz"\n')
    made = Plan.from_toml(path)
    assert [point.key for point in made.points()] == [("A", "", None, "cg"), ("A", "", None, "splu")]
    sp.save_npz(folder / "A.npz", sp.csr_array(np.diag([1.0, 2.0, 4.0])))
    assert Plan.from_toml(path).config != made.config


ERRORS = [
    ("rtoll = 1\n", "unknown key 'rtoll'; expected any of atol, maxiter"),
    ('solvers = ["cg"]\n', "problems is None; expected a list of at least one"),
    ("problems = [{kind = 'poisson'}]\nsizes = [[8, 8]]\n", "solvers is None"),
    ("@problems = [{kind = 'poison'}]", "problems[0]: kind is 'poison'; expected one of poisson, heat"),
    ("@problems = [{}]", "problems[0] has neither kind and file"),
    ("@problems = [{kind = 'poisson', file = 'A.npz'}]", "problems[0] has both kind and file"),
    ("@problems = ['poisson']", "problems[0] is 'poisson'; expected a table"),
    ("@problems = [{kind = 'poisson', obstacle = 'balls'}]", "problems[0]: unknown key 'obstacle'"),
    ("@problems = [{kind = 'poisson', obstacles = 'stones'}]", "problems[0]: obstacles is 'stones'"),
    ("@problems = [{kind = 'poisson', bc = 3}]", "problems[0]: "),
    ("@problems = [{kind = 'heat'}]", "problems[0]: "),
    ("@problems = [{kind = 'heat', dt = -1}]", "problems[0]: dt is -1"),
    ("@problems = [{kind = 'poisson'}, {kind = 'poisson'}]", "problems: 'poisson' stands there twice"),
    ("@problems = [{file = 'missing.mtx'}]", "missing.mtx: no such file"),
    ("@problems = [{file = 'broken.mtx'}]", "broken.mtx"),
    ("@problems = [{file = 'A.npz', bc = 'neumann'}]", "problems[0]: unknown key 'bc'"),
    ("@sizes = [8, 8]", "sizes holds 8; expected sizes such as [64, 64]"),
    ("@sizes = [[8]]", "sizes: shape is [8]; expected two or three positive integers"),
    ("@sizes = [[8, 0]]", "sizes: shape is [8, 0]"),
    ("@sizes = [[8, 8.5]]", "sizes holds [8, 8.5]"),
    ("@sizes = [['8', '8']]", "sizes holds ['8', '8']"),
    ("@sizes = [[8, 8], [8, 8]]", "sizes: '8x8' stands there twice"),
    ("@sizes = []", "sizes is []; expected a list of sizes"),
    ("@seeds = 3", "seeds is 3; expected a list of seeds"),
    ("@seeds = [-1]", "seeds: seed is -1; expected an integer >= 0"),
    ("@seeds = [true]", "seeds: seed is True"),
    ("@solvers = ['newton']", "solvers[0]: method is 'newton'; expected a solver"),
    ("@solvers = ['cg', 'cg']", "solvers: 'cg' stands there twice"),
    ("@solvers = ['cg,sor']", "solvers[0]: method is 'cg,sor'; expected one method"),
    ("@solvers = [3]", "solvers[0] is 3; expected a name such as 'cg+jacobi'"),
    ("@solvers = [{omega = 1.5}]", "solvers[0]: method is None; expected a text"),
    ("@solvers = [{method = 'sor', omgea = 1.5}]", "solvers[0]: unknown key 'omgea'"),
    ("@solvers = [{method = 'auto', omega = 1.5}]", "solvers[0]: unknown key 'omega'"),
    ("@solvers = [{method = 'cg', preconditioner = {omega = 1.5}}]", "the method names none"),
    ("@solvers = [{method = 'cg+ssor', preconditioner = 1.5}]", "preconditioner is 1.5; expected a table"),
    ("@solvers = [{method = 'cg+ssor', preconditioner = {w = 1}}]", "preconditioner: unknown key 'w'"),
    ("@solvers = [{method = 'cg', weights = 'none.safetensors'}]", "none.safetensors: no such file"),
    ("@solvers = [{method = 'cg', weights = 'rim-mri'}]", "weights hold a 'rim' component"),
    ("@solvers = [{method = 'cg+ssor', weights = 'multigrid'}]", "weights make the preconditioner"),
    ("@rtol = -1", "rtol is -1; expected a finite number >= 0"),
    ("@rtol = 'small'", "rtol is 'small'"),
    ("@maxiter = 1.5", "maxiter is 1.5"),
    ("@name = 3", "name is 3; expected a text"),
    ("@[x", "not a TOML file"),
]


@pytest.mark.parametrize(("text", "message"), ERRORS, ids=[message[:40] for _, message in ERRORS])
def test_what_is_wrong_is_one_sentence_with_file_and_key(text, message, folder):
    if text.startswith("@"):
        text = text[1:] + "\n"
        defaults = {
            "problems": "[{kind = 'poisson'}]",
            "sizes": "[[8, 8]]",
            "solvers": "['cg']",
        }
        for key, value in defaults.items():
            if not text.startswith(key) and not (key == "sizes" and "file =" in text):
                text += f"{key} = {value}\n"
    path = folder / "study.toml"
    path.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        Plan.from_toml(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[" * 5000, b"a = " + b"[" * 5000], ids=["bytes", "[", "a=["]
)
def test_files_that_are_no_toml(content, tmp_path):
    (tmp_path / "s.toml").write_bytes(content)
    with pytest.raises(ValueError, match="not a TOML file"):
        Plan.from_toml(tmp_path / "s.toml")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"s.toml: no such file"):
        Plan.from_toml(tmp_path / "s.toml")


texts = st.text("acgkmo+[]./ é\n", max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["name", "problems", "sizes", "seeds", "solvers", "rtol", "atol", "maxiter", "x"])


@given(st.dictionaries(keys, values, max_size=4))
def test_any_values_give_a_plan_or_one_sentence(changes):
    try:
        said = len(plan(**changes))
    except (ValueError, FileNotFoundError) as error:
        said = str(error)
    assert said >= 1 if isinstance(said, int) else said.startswith("study")
