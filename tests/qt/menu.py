"""What the plugin puts into napari's menu."""

from __future__ import annotations

PLUGIN = "napari-zsdeconvnet"
WIDGETS = {
    "Deconvolve…": "OneClickWidget",
    "Noise calibration": "NoiseWidget",
    "PSF": "PSFWidget",
    "Train": "TrainWidget",
    "Apply model": "DeconvolveWidget",
    "Quality": "QualityWidget",
    "Compare": "CompareWidget",
    "SIM": "SIMWidget",
    "Queue": "QueueWidget",
    "Models": "ModelsWidget",
}
