"""Training: it learns, resumes exactly, works through operators of any library, and without images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sciml.backends.namespace import norm2  # noqa: E402
from sciml.learned.rim import RIM, Sample, split_mask, train_rim  # noqa: E402
from sciml.learned.rim.mri import scan_sample, scan_sampler, validation_scans  # noqa: E402
from sciml.learned.rim.ssdu import data_error  # noqa: E402
from sciml.learned.rim.train import _Judge  # noqa: E402
from sciml.learned.training import stream  # noqa: E402
from sciml.problems.mri import ScanStream, load_slices  # noqa: E402

from .operators import blur, image, masked_fourier  # noqa: E402


def sample_boxes(rng):
    """Boxes of one phase behind a Fourier transform sampled at the lowest frequencies and at random."""
    values = np.zeros((16, 16))
    for _ in range(3):
        (top, left), (height, width) = rng.integers(0, 10, 2), rng.integers(3, 8, 2)
        values[top : top + height, left : left + width] += rng.uniform(0.5, 1.0)
    A = masked_fourier(rng, (16, 16), 0.35, dtype="complex64")
    low = np.abs(np.arange(16) - 8) < 3
    A.mask[np.ix_(low, low)] = 1.0
    truth = (values * np.exp(1j * rng.uniform(0, 6))).astype("complex64")
    return Sample(A, A @ truth, truth)


def gain(rim, samples):
    """Squared error of ``Aᴴ y`` over that of the reconstruction, in dB."""
    before = sum(norm2(s.A.H @ s.y - s.x) ** 2 for s in samples)
    after = sum(norm2(rim(s.A, s.y).x - s.x) ** 2 for s in samples)
    return 10 * np.log10(before / after)


def small(**options):
    return RIM(**{"channels": 8, "steps": 3, **options})


@pytest.mark.parametrize(
    "settings",
    [{"step": "explicit"}, {"step": "cg"}, {"step": "learned", "cascades": 2, "consistency": "explicit"}],
    ids=["explicit", "cg", "cirim"],
)
def test_it_learns_two_images_by_heart(settings):
    samples = [sample_boxes(np.random.default_rng(i)) for i in range(2)]
    rim = small(**settings)
    before = gain(rim, samples)
    train_rim(rim, lambda rng: samples[int(rng.integers(2))], steps=120, lr=5e-3)
    assert gain(rim, samples) > before + 4


@pytest.mark.parametrize("share", [None, 0.3], ids=["supervised", "from-data-alone"])
def test_it_learns_to_reconstruct_scans_it_has_not_seen(share):
    train, test = (load_slices(split).images for split in ("train", "validation"))
    scans = ScanStream(train, shape=(32, 32), coils=6, acceleration=(3, 5), masks={"gaussian2d": 1.0})
    unseen = [scan_sample(s) for s in validation_scans(test, (32, 32), coils=6, noise=0.02)[::3]]
    draw = scan_sampler(scans)

    def sample(rng):
        scan = draw(rng)
        return scan if share is None else Sample(scan.A, scan.y)

    rim = RIM(channels=16, steps=4, step="explicit")
    before = gain(rim, unseen)
    train_rim(rim, sample, steps=100, lr=4e-3, self_supervised=share)
    assert gain(rim, unseen) > before + 0.8


def flat(rim):
    return torch.cat([p.detach().reshape(-1) for p in rim.module.parameters()]).numpy()


def test_a_stopped_run_resumes_to_the_same_weights(tmp_path):
    whole = small()
    train_rim(whole, sample_boxes, steps=8, held_out=[sample_boxes(np.random.default_rng(0))])
    path, held_out = tmp_path / "run.safetensors", [sample_boxes(np.random.default_rng(0))]
    options = {"steps": 8, "held_out": held_out, "checkpoint": path}
    train_rim(small(), sample_boxes, **options, callback=lambda i, _: i == 3)
    again = small()
    train_rim(again, sample_boxes, **options)
    np.testing.assert_array_equal(flat(again), flat(whole))


def test_a_run_with_other_settings_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    train_rim(small(), sample_boxes, steps=2, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to a run with weighting = 'logspace'"):
        train_rim(small(), sample_boxes, steps=2, checkpoint=path, weighting="uniform")
    with pytest.raises(ValueError, match="belongs to a run with rim = "):
        train_rim(small(step="explicit"), sample_boxes, steps=2, checkpoint=path)


def test_the_best_iterate_on_held_out_data_is_kept():
    held_out = [sample_boxes(np.random.default_rng(0))]
    rim = small(consistency="implicit")
    history = train_rim(rim, sample_boxes, steps=12, lr=0.5, clip=1e9, held_out=held_out, validate_every=1)
    error = _Judge(rim, "l1", None).errors(held_out[0], stream(0, 0))[-1]
    assert float(error.detach()) == pytest.approx(min(v for _, v in history.validation), rel=1e-6)
    assert history.validation[-1][1] > history.best[1]  # the last one is not the best at this rate


def test_logarithmic_losses_report_geometric_means():
    held_out = [sample_boxes(np.random.default_rng(i)) for i in range(2)]
    rim = small()
    history = train_rim(rim, sample_boxes, steps=1, lr=1e-12, loss="log-mse", held_out=held_out)
    errors = [float(_Judge(rim, "mse", None).errors(s, stream(0, 0))[-1].detach()) for s in held_out]
    assert history.best[1] == pytest.approx(np.sqrt(errors[0] * errors[1]), rel=1e-5)


def test_bfloat16():
    rim = small()
    history = train_rim(rim, sample_boxes, steps=2, precision="bfloat16")
    assert np.isfinite(history.loss).all()
    assert {p.dtype for p in rim.module.parameters()} == {torch.float32}


def test_seeds():
    first, second, other = small(), small(), small()
    train_rim(first, sample_boxes, steps=2, seed=1)
    train_rim(second, sample_boxes, steps=2, seed=1)
    train_rim(other, sample_boxes, steps=2, seed=2)
    np.testing.assert_array_equal(flat(first), flat(second))
    assert not np.array_equal(flat(first), flat(other))


def test_gradients_do_not_depend_on_the_library_of_the_operator(rng):
    sample = sample_boxes(rng)
    A = type(sample.A)(torch.from_numpy(sample.A.mask), "complex64")
    moved = Sample(A, torch.from_numpy(sample.y), torch.from_numpy(sample.x))
    gradients = []
    for s in (sample, moved):
        rim = small()
        sum(_Judge(rim, "l1", None).errors(s, rng)).backward()
        gradients.append(torch.cat([p.grad.reshape(-1) for p in rim.module.parameters()]))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_gradients_of_the_whole_unrolled_iteration(rng):
    """Against finite differences, in double precision, where CG is run to the end."""
    rim = small(cg_iterations=25, components=1, channels=3, steps=2)
    rim.module.double()
    for name, parameter in rim.module.named_parameters():
        if name.endswith("bias"):  # away from the kinks of the rectifiers
            torch.nn.init.normal_(parameter)
    A = blur((6, 6))
    x = image(rng, (6, 6), "float64")
    sample = Sample(A, A @ x, x)
    judge = _Judge(rim, "mse", None)
    sum(judge.errors(sample, rng)).backward()
    for name, parameter in rim.module.named_parameters():
        direction = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)))
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * 1e-5 * direction
                values.append(float(sum(judge.errors(sample, rng))))
                parameter -= sign * 1e-5 * direction
        numeric = (values[0] - values[1]) / 2e-5
        assert numeric == pytest.approx(float((parameter.grad * direction).sum()), rel=2e-3, abs=1e-7), name


def test_flat_operators_are_trained_through_too(rng):
    matrix = rng.standard_normal((40, 36)).astype("float32") / 10
    x = rng.random((6, 6), dtype=np.float32)
    sample = Sample(matrix, matrix @ x.reshape(-1), x)
    rim = small(components=1, step="explicit")
    history = train_rim(rim, lambda rng: sample, steps=60, lr=5e-3)
    assert history.loss[-1] < 0.8 * history.loss[0]


# -- without images ---------------------------------------------------------------------------
def test_judging_data_do_not_reconstruct(rng, monkeypatch):
    """Estimates must not depend on the data that judge them."""
    from sciml.learned.rim import train

    sample = sample_boxes(rng)
    theta, judge = split_mask(sample.A.mask > 0, np.random.default_rng(5))
    monkeypatch.setattr(train, "split_mask", lambda *args, **kwargs: (theta, judge))
    seen = []
    monkeypatch.setattr(
        train, "data_error", lambda predicted, measured: seen.append(predicted) or predicted.abs().sum()
    )
    changed = Sample(sample.A, np.where(judge, 7 * sample.y, sample.y))
    rim = small()
    for s in (sample, changed):
        with torch.no_grad():
            _Judge(rim, "l1", 0.4).errors(s, rng)
    for a, b in zip(seen[:3], seen[3:], strict=True):
        torch.testing.assert_close(a, b)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(8, 24), st.integers(8, 24)),
    fraction=st.floats(0.3, 1.0),
    share=st.floats(0.05, 0.6),
    seed=st.integers(0, 1000),
)
def test_splits(shape, fraction, share, seed):
    rng = np.random.default_rng(seed)
    acquired = rng.random(shape) < fraction
    centre = tuple(slice(n // 2 - 2, n // 2 + 2) for n in shape)
    outside = acquired.copy()
    outside[centre] = False
    count = round(share * int(acquired.sum()))
    if count < 1 or count > int(outside.sum()):
        with pytest.raises(ValueError, match="too few to take a share"):
            split_mask(acquired, rng, share=share)
        return
    theta, judge = split_mask(acquired, rng, share=share)
    assert not (theta & judge).any()
    np.testing.assert_array_equal(theta | judge, acquired)
    assert int(judge.sum()) == count
    assert not judge[centre].any()


def test_judging_locations_are_denser_in_the_middle():
    _, judge = split_mask(np.ones((64, 64), bool), np.random.default_rng(0), share=0.3)
    assert judge[16:48, 16:48].mean() > 1.5 * judge.mean()


def test_error_of_data():
    y = torch.tensor([3.0, 4.0])
    assert float(data_error(torch.zeros(2), y)) == pytest.approx(2.0)
    assert float(data_error(y, y)) == 0.0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"loss": "l2"}, "loss is 'l2'; expected one of l1, mse, log-l1, log-mse"),
        ({"weighting": "linear"}, "weighting is 'linear'"),
        ({"batch": 0}, "batch is 0; expected a positive integer"),
        ({"self_supervised": 1.0}, r"self_supervised is 1\.0; expected a share"),
        ({"steps": 0}, "steps is 0"),
        ({"lr": -1.0}, r"lr is -1\.0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_bad_settings(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        train_rim(small(), sample_boxes, **{"steps": 1, **options})


def test_supervised_training_needs_images(rng):
    full = sample_boxes(rng)
    with pytest.raises(ValueError, match="the sample has no image x"):
        train_rim(small(), lambda rng: Sample(full.A, full.y), steps=1)
