"""Where a layer's pixels lie in the world."""

import numpy as np


def borders(layer):
    """World coordinates of the outer pixel borders along Y and X."""
    last = np.array(layer.data.shape) - 0.5
    first = np.full(layer.ndim, -0.5)
    return np.array([layer.data_to_world(first)[-2:], layer.data_to_world(last)[-2:]])
