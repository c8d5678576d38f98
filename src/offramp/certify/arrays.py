"""Names for the arrays that pass between the modules of this package."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""An array of 64-bit floats."""
Bools = NDArray[np.bool_]
"""An array of truth values."""
Indices = NDArray[np.intp]
"""An array of row numbers."""
