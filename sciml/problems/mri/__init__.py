"""Magnetic resonance imaging: slices, coils, masks, simulated scans, coil maps, lesions, metrics, readers."""

from .augment import augmented
from .coils import CoilArray, smooth_phase
from .masks import (
    MASKS,
    Mask,
    equispaced1d,
    gaussian1d,
    gaussian2d,
    partial_fourier,
    poisson2d,
    random1d,
    sampling_mask,
)
from .metrics import bootstrap_median, chi_squared, foreground, nmse, psnr, ssim
from .scan import Scan, ScanStream, band_limited, simulate, stack_scans
from .slices import SPLITS, SliceSet, load_slices
