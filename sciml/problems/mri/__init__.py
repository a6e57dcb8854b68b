"""Magnetic resonance imaging: slices, coils, masks, simulated scans, coil maps, lesions, metrics, readers."""

from .augment import augmented, random_window
from .baselines import cg_sense, compressed_sensing, zero_filled
from .calibration import espirit_maps, low_resolution_maps
from .coils import CoilArray, smooth_phase
from .kspace import KSpaceData, load_kspace, prewhitened, remove_oversampling
from .lesions import Lesions, paint_lesions
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
from .readers import read_fastmri, read_ismrmrd, read_nifti
from .scan import Scan, ScanStream, band_limited, simulate, stack_scans
from .slices import SPLITS, SliceSet, load_slices

__all__ = [
    "MASKS",
    "SPLITS",
    "CoilArray",
    "KSpaceData",
    "Lesions",
    "Mask",
    "Scan",
    "ScanStream",
    "SliceSet",
    "augmented",
    "band_limited",
    "bootstrap_median",
    "cg_sense",
    "chi_squared",
    "compressed_sensing",
    "equispaced1d",
    "espirit_maps",
    "foreground",
    "gaussian1d",
    "gaussian2d",
    "load_kspace",
    "load_slices",
    "low_resolution_maps",
    "nmse",
    "paint_lesions",
    "partial_fourier",
    "poisson2d",
    "prewhitened",
    "psnr",
    "random1d",
    "random_window",
    "read_fastmri",
    "read_ismrmrd",
    "read_nifti",
    "remove_oversampling",
    "sampling_mask",
    "simulate",
    "smooth_phase",
    "ssim",
    "stack_scans",
    "zero_filled",
]
