"""Let torchvision be imported beside a torch for the processor alone.

The builds of torchvision on the index need CUDA for their operators, which nothing here uses, and
refuse to be imported without one of them. Import this first.
"""

import torch

LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
try:
    import torchvision  # noqa: F401
except RuntimeError:
    for name in ("nms", "qnms"):
        LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
