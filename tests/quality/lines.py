"""Lines of Gaussian profile, whose widths and distances are known."""

from __future__ import annotations

import numpy as np


def gaussian_line(shape, angle, sigma, separation=0.0):
    """Draw one or two parallel lines of Gaussian profile; return the image and the middle path."""
    middle = (np.array(shape) - 1) / 2
    direction = np.array([np.sin(angle), np.cos(angle)])
    normal = np.array([direction[1], -direction[0]])
    across = sum(n * (np.indices(shape)[axis] - middle[axis]) for axis, n in enumerate(normal))
    image = sum(
        np.exp(-((across - side * separation / 2) ** 2) / (2 * sigma**2)) for side in (-1, 1)
    )
    return image, middle + np.arange(-25, 25, 0.25)[:, None] * direction
