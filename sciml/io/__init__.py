"""Reading linear systems from files: Matrix Market, NumPy/SciPy ``.npz`` and MATLAB ``.mat``.

Files are distrusted: pickles are never loaded, and sizes announced in a header are compared with the
size of the file before anything of that size is allocated.
"""

from .arrays import load_array, load_arrays
from .system import load_system, load_vector

__all__ = ["load_array", "load_arrays", "load_system", "load_vector"]
