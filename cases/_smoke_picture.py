"""Pictures of a smoke simulation: the plane, a lit volume, a strip of stills, an animation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.ndimage

__all__ = ["picture", "save_gif", "save_png", "strip"]

BACKGROUND = np.array([0.035, 0.045, 0.09])
STONE = np.array([0.62, 0.70, 0.78])
SMOKE = np.array([1.0, 0.93, 0.84])
LIGHT = np.array([-0.45, 0.75, 0.5]) / np.linalg.norm([-0.45, 0.75, 0.5])
"""Towards the light: right, up, towards the viewer."""


def picture(smoke: np.ndarray, solid: np.ndarray, height: int) -> np.ndarray:
    """An RGB image of `height` rows (bytes), up is up."""
    draw = _plane if smoke.ndim == 2 else _volume
    image = draw(smoke, solid, height)
    return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)


def _plane(smoke: np.ndarray, solid: np.ndarray, height: int) -> np.ndarray:
    factor = height / smoke.shape[1]
    s, mask = _resized(smoke, factor, 1), _resized(solid.astype(float), factor, 1)
    image = _glow(np.clip(s, 0, 1) ** 0.8)
    # Where the mask is cut at a half its edge is smooth; the shade is that of a rounded stone.
    cover = np.clip((mask - 0.5) * 2 * max(factor, 1.0) + 0.5, 0, 1)[..., None]
    image = image * (1 - cover) + cover * _shaded(mask > 0.5, max(2.0, 1.5 * factor))[..., None] * STONE
    return image.swapaxes(0, 1)[::-1]


def _glow(s: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    colours = np.asarray(colormaps["magma"](s))[..., :3]
    return np.maximum(colours, BACKGROUND)


def _shaded(mask: np.ndarray, blur: float) -> np.ndarray:
    """Brightness of flat bodies as if they were rounded, from the distance to their edge."""
    labels, count = scipy.ndimage.label(mask)
    depth = scipy.ndimage.distance_transform_edt(mask)
    deepest = scipy.ndimage.maximum(depth, labels, np.arange(count + 1)) if count else np.zeros(1)
    reach = np.maximum(deepest, 1.0)[labels]
    z = scipy.ndimage.gaussian_filter(np.sqrt(np.maximum(depth * (2 * reach - depth), 0)), blur)
    nx, ny = -np.gradient(z, axis=0), -np.gradient(z, axis=1)
    bright = (nx * LIGHT[0] + ny * LIGHT[1] + LIGHT[2]) / np.sqrt(nx**2 + ny**2 + 1)
    return 0.25 + 0.75 * np.clip(bright, 0, 1)


def _volume(smoke: np.ndarray, solid: np.ndarray, height: int) -> np.ndarray:
    """View along the middle axis, turned a little; light from above and the left scatters once."""
    depth = min(height, 144)  # rows of the volume that is lit; the picture of it is enlarged
    factor = depth / smoke.shape[2]
    density, body = (
        scipy.ndimage.rotate(_resized(v, factor, 1), 25, axes=(0, 1), reshape=True, order=1)
        for v in (np.clip(smoke, 0, 1), solid.astype(float))
    )
    rounded = scipy.ndimage.gaussian_filter(body, 1.3 * factor)
    hit = rounded > 0.5
    # Optical depth per cell is chosen so that a plume as wide as its source is nearly opaque.
    thickness = 24.0 * density / depth
    above = np.cumsum(thickness[..., ::-1], axis=2)[..., ::-1]
    beside = np.cumsum(thickness, axis=0)
    lit = 0.3 + 0.35 * np.exp(-0.4 * above) + 0.35 * np.exp(-0.7 * beside)
    seen = np.exp(-(np.cumsum(thickness, axis=1) - thickness))
    nearest = np.argmax(rounded, axis=1)
    largest = _at(rounded, nearest)
    first = np.where(largest > 0.5, np.argmax(hit, axis=1), nearest)
    # The outline is as soft as a row of the volume, or it would show its cells.
    cover = np.clip(2.0 * factor * (largest - 0.5) + 0.5, 0, 1)
    scattered = seen * (1 - np.exp(-thickness)) * lit
    in_front = ~np.maximum.accumulate(hit, axis=1)
    far = scattered.sum(axis=1)[..., None] * SMOKE + seen[:, -1][..., None] * BACKGROUND
    normal = [-_at(np.gradient(rounded, axis=a), first) for a in range(3)]
    length = np.sqrt(sum(n**2 for n in normal)) + 1e-9
    bright = (normal[0] * LIGHT[0] + normal[2] * LIGHT[1] - normal[1] * LIGHT[2]) / length
    stone = (0.2 + 0.8 * np.clip(bright, 0, 1)) * _at(lit, first)
    near = (scattered * in_front).sum(axis=1)[..., None] * SMOKE + (_at(seen, first) * stone)[
        ..., None
    ] * STONE
    image = far + cover[..., None] * (near - far)
    enlarge = (height / depth, height / depth, 1)
    image = scipy.ndimage.zoom(image, enlarge, order=3, grid_mode=True, mode="nearest")
    return image.swapaxes(0, 1)[::-1]


def _at(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, index[:, None], axis=1)[:, 0]


def _resized(values: np.ndarray, factor: float, order: int) -> np.ndarray:
    if factor == 1:
        return values
    if factor < 1:  # mean over blocks first, so that thin filaments do not flicker
        blocks = max(1, round(1 / factor))
        if blocks > 1 and all(n % blocks == 0 for n in values.shape):
            parts = [k for n in values.shape for k in (n // blocks, blocks)]
            values = values.reshape(parts).mean(axis=tuple(range(1, 2 * values.ndim, 2)))
            factor *= blocks
    return (
        values
        if factor == 1
        else scipy.ndimage.zoom(values, factor, order=order, grid_mode=True, mode="nearest")
    )


def strip(images: Sequence[np.ndarray], gap: int = 8) -> np.ndarray:
    """Pictures of one height side by side."""
    rows = images[0].shape[0]
    bar = np.full((rows, gap, 3), 255 * BACKGROUND * 3, np.uint8)
    parts: list[np.ndarray] = []
    for image in images:
        parts += [bar, image]
    return np.concatenate(parts[1:], axis=1)


def save_png(path: Path, image: np.ndarray) -> None:
    """Write one picture."""
    from PIL import Image

    Image.fromarray(image).save(path, optimize=True)


def save_gif(path: Path, images: Sequence[np.ndarray], seconds: float, colours: int = 64) -> None:
    """Write an endless animation of `seconds`; one palette for all frames keeps it small and steady."""
    from PIL import Image

    frames = [Image.fromarray(image) for image in images]
    sample = Image.fromarray(np.concatenate(images[:: max(1, len(images) // 8)], axis=1))
    palette = sample.quantize(colours, method=Image.Quantize.MEDIANCUT)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    drawn[0].save(
        path, save_all=True, append_images=drawn[1:], loop=0, optimize=True,
        duration=max(20, round(1000 * seconds / len(drawn))),
    )  # fmt: skip
