"""What the plugin puts into napari's menu."""

from __future__ import annotations

PLUGIN = "napari-zsdeconvnet"
WIDGETS = {
    "One click": "OneClickWidget",
    "Noise calibration": "NoiseWidget",
    "PSF": "PSFWidget",
    "Train": "TrainWidget",
    "Deconvolve": "DeconvolveWidget",
    "Quality": "QualityWidget",
    "Compare": "CompareWidget",
    "SIM": "SIMWidget",
    "Queue": "QueueWidget",
    "Models": "ModelsWidget",
}
