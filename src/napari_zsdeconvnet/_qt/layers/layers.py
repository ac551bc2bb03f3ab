"""From napari layers to images and back.

napari puts pixel (0, 0) with its centre at the layer's origin. A result on a grid of half the
pixel therefore begins a quarter of a raw pixel before its source; `add_or_update` sees to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from napari import layers
from napari.utils.transforms import Affine, CompositeAffine
from napari.viewer import Viewer
from numpy.typing import ArrayLike

from ...io.image import Image, Origin, PixelRule
from ...io.lazy import is_lazy
from ...io.pyramids import Pyramid
from ...simulation.sample_data import (
    METADATA_KEY as METADATA_KEY,  # the widgets know layers from here
)
from .contrast import Limits, contrast_of, fit_contrast
from .layer_axes import Reading, layer_axes, pixels_of, read_as
from .state import unwrapped

CHANNEL_KEY = "channel"
"""Where the metadata of a result hold the name of the channel that it was made of."""

RULE_KEY = "napari-zsdeconvnet pixel rule"
"""Key of a layer's metadata: its `PixelRule` on bad and saturated pixels."""

ORIGIN_KEY = "napari-zsdeconvnet origin"
"""Key of a layer's metadata: its `Origin`, where it was split off another layer."""


def layer_image(layer: layers.Image, reading: Reading | None = None) -> Image:
    """Return the layer's pixels with their axes and voxel size; lazy ones stay lazy.

    Of a multiscale layer the full resolution is taken. By default it is read as it says itself.
    Raises InputError if the layer is RGB or its axes cannot be told.
    """
    reading = reading or read_as(layer)
    pixels, axes = reading.pixels(layer)
    if not is_lazy(pixels):
        pixels = np.asarray(pixels)
    return Image(
        pixels,
        axes,
        voxel_size=reading.voxel_size,
        name=layer.name,
        origin=origin_of(layer, reading),
        pixel_rule=rule_of(layer),
    )


def rule_of(layer: layers.Image) -> PixelRule:
    """Return the rule on the bad and saturated pixels of a layer."""
    rule = layer.metadata.get(RULE_KEY)
    return rule if isinstance(rule, PixelRule) else PixelRule()


def origin_of(layer: layers.Image, reading: Reading) -> Origin | None:
    """Return the file of the layer, if it was read from one, and how it is read."""
    origin = layer.metadata.get(ORIGIN_KEY)
    if isinstance(origin, Origin):
        return origin
    if layer.source.path is None:
        return None
    path = str(Path(layer.source.path).resolve())
    return Origin(path, axes=reading.axes, channel=reading.channel)


def shown_place(layer: layers.Image, viewer: Viewer, reading: Reading) -> tuple[int, ...]:
    """Return where the sliders stand in `layer_image`: an index for each axis before Y, X."""
    shape = pixels_of(layer).shape
    point = layer.world_to_data(viewer.dims.point)[: len(shape) - 2]
    return tuple(
        int(np.clip(round(position), 0, length - 1))
        for position, length, letter in zip(point, shape[:-2], reading.axes, strict=False)
        if letter != "C"
    )


def add_or_update(
    viewer: Viewer,
    name: str,
    data: ArrayLike | Pyramid,
    *,
    like: layers.Image,
    metadata: dict[str, Any] | None = None,
    reset_contrast: bool = True,
    contrast: Limits | None = None,
    visible: bool = True,
    **place: Any,
) -> layers.Image:
    """Show `data` over the layer it was computed from, in the same layer each time.

    Parameters
    ----------
    name : str
        Name of the result; a layer of this name made from `like` before is updated in place,
        also when the user has renamed it since.
    data : array or Pyramid
        The axes of `like`, or its last ones, without its channel axis.
    like : napari.layers.Image
        The source: its place, units, axis labels, colormap, gamma and blending are taken.
    reset_contrast : bool
        Fit the contrast limits to the new data also when the layer exists already.
    contrast : tuple of float, optional
        The limits of the source, as `limits_for` takes them; by default those of the data.
    visible : bool
        Whether a new layer is shown at first: napari slices and paints nothing of a hidden one.
    place : Any
        Upsampling, origin, every and axes, as for `placement`.
    """
    viewer = unwrapped(viewer)
    levels: list[Any] = data.levels if isinstance(data, Pyramid) else [np.asarray(data)]
    several, coarsest = len(levels) > 1, levels[-1]
    pixels: Any = levels if several else coarsest
    where = placement(like, coarsest.ndim, **place)
    metadata = {**(metadata or {}), METADATA_KEY: _key(like, name)}
    layer = made_before(viewer, name, like)
    if layer is not None and layer.multiscale != several:
        viewer.layers.remove(layer)  # napari does not change one into the other
        layer = None
    if layer is not None and layer.ndim == coarsest.ndim:
        layer.data = pixels
        for attribute, value in where.items():
            # Each makes napari lay out the whole scene anew: none is set in vain.
            if not _same(getattr(layer, attribute), value):
                setattr(layer, attribute, value)
        layer.metadata = metadata
        if reset_contrast:
            fit_contrast(layer, contrast)
        return layer
    limits, span = contrast_of(coarsest, contrast)
    layer = layers.Image(
        pixels,
        name=name,
        multiscale=several,
        colormap=like.colormap,
        gamma=like.gamma,
        blending=like.blending,  # channels that are added up stay so
        metadata=metadata,
        visible=visible,
        contrast_limits=limits,  # napari would look for others first
        **where,
    )
    layer.contrast_limits_range = span
    viewer.add_layer(layer)
    return layer


def made_before(viewer: Viewer, name: str, like: layers.Image) -> layers.Image | None:
    """Return the layer that `add_or_update` made under this name from `like`, if it is there."""
    found = kept_layer(unwrapped(viewer), _key(like, name))
    return found if isinstance(found, layers.Image) else None


def make_into(viewer: Viewer, name: str, becomes: str, *, like: layers.Image, ndim: int) -> None:
    """Let the layer that `add_or_update` made under one name be that of another result.

    napari takes long over layers that come and go, and hardly any time over new pixels. A layer of
    another number of axes is left.
    """
    layer = made_before(viewer, name, like)
    if layer is None or layer.ndim != ndim or made_before(viewer, becomes, like) is not None:
        return
    layer.metadata = {**layer.metadata, METADATA_KEY: _key(like, becomes)}
    layer.name = becomes
    layer.opacity = 1.0  # a preview is clear until there is something to show
    layer.visible = True


def bring_forward(viewer: Viewer, layer: layers.Image, *, like: layers.Image) -> layers.Image:
    """Let a result be seen: visible, opaque, and above the source that it was made from."""
    stack = unwrapped(viewer).layers
    layer.opacity = 1.0
    layer.visible = True
    if like in stack and stack.index(layer) < stack.index(like):
        stack.move(stack.index(layer), stack.index(like) + 1)
    return layer


@contextmanager
def same_plane(viewer: Viewer, layer: layers.Image) -> Iterator[None]:
    """Go on showing the same plane of a layer whose scale is written in this block.

    napari keeps the place in the world, which then lies in another plane or in none.
    """
    place = layer.world_to_data(viewer.dims.point)
    yield
    dims = viewer.dims
    dims.set_point(range(dims.ndim - layer.ndim, dims.ndim), layer.data_to_world(place))


def placement(
    like: layers.Image,
    ndim: int,
    *,
    upsampling: int = 1,
    origin: tuple[float, ...] = (0, 0),
    every: int = 1,
    axes: str | None = None,
) -> dict[str, Any]:
    """Return the arguments that lay a new layer of `ndim` axes over the pixels of `like`.

    Parameters
    ----------
    like : napari.layers.Image
        The layer to lie over; of its axes the last ones are taken, without channels.
    ndim : int
        Axes of the new layer.
    upsampling : int
        Pixels of the new layer per pixel of `like`, along Y and X.
    origin : tuple of float
        Pixel (y, x) or (z, y, x) of `like` at which the new layer begins.
    every : int
        Frames of `like`, along its first axis, for one of the new layer.
    axes : str, optional
        The axes of `like`; by default what it says itself.

    Returns
    -------
    dict
        scale, rotate, shear, translate, affine, units and axis_labels.
    """
    kept = list(range(like.ndim))
    if ndim < like.ndim:
        axes = axes or layer_axes(like)
        kept = [i for i in kept if axes[i] != "C"][-ndim:]
    local = CompositeAffine(
        scale=like.scale, rotate=like.rotate, shear=like.shear, translate=like.translate
    )
    if len(kept) < like.ndim:
        local = local.set_slice(kept)
    # Pixel 0 of the result has its centre this far from that of the source's pixel 0.
    first = np.zeros(ndim)
    first[-len(origin) :] = origin
    first[-2:] += (1 / upsampling - 1) / 2
    scale = np.array(local.scale, dtype=float)
    scale[-2:] /= upsampling
    if every > 1:
        # Each lies in the middle of the frames that it was made from.
        first[0] += (every - 1) / 2
        scale[0] *= every
    return {
        "scale": scale,
        "rotate": local.rotate,
        "shear": local.shear,
        "translate": local(first),
        "affine": like.affine.set_slice(kept) if len(kept) < like.ndim else like.affine,
        "units": tuple(like.units[i] for i in kept),
        "axis_labels": tuple(like.axis_labels[i] for i in kept),
    }


def beside(layer: layers.Image, shape: tuple[int, ...], scale: tuple[float, ...]) -> dict[str, Any]:
    """Return scale, translation and units that put a layer to the right of another.

    Planes lie middle to middle. The scale is in the units of `layer`: where they differ, napari
    uses none.
    """
    low, high = layer.extent.world
    place = np.zeros(len(shape))
    place[-2:] = low[-2], high[-1] + 0.02 * (high - low)[-2:].max()
    for axis in range(-len(shape), -2):
        if layer.ndim >= -axis:
            middle = (low[axis] + high[axis]) / 2
            place[axis] = middle - scale[axis] * (shape[axis] - 1) / 2
    return {
        "scale": scale,
        "translate": tuple(float(start) for start in place),
        "units": (layer.units[-1],) * len(shape),
    }


def kept_layer(viewer: Viewer, key: tuple[str, str]) -> Any:
    """Return the layer that `show_kept` has made for a key; None where it is not there."""
    return next((one for one in viewer.layers if one.metadata.get(METADATA_KEY) == key), None)


def show_kept(
    viewer: Viewer,
    key: tuple[str, str],
    data: ArrayLike,
    place: dict[str, Any],
    kind: type[layers.Layer] = layers.Image,
    **new: Any,
) -> Any:
    """Show `data` in the same layer each time, and let the selection be.

    Parameters
    ----------
    key : (str, str)
        Kept in the metadata of the layer, which is found by it.
    place : dict
        What is set each time, such as what `beside` returns.
    kind : type
        Of the layer.
    new : Any
        What else a new layer is made with.
    """
    layer, data = kept_layer(viewer, key), np.asarray(data)
    if isinstance(layer, kind) and (kind is not layers.Image or layer.ndim == data.ndim):
        layer.data = data
        for attribute, value in place.items():
            setattr(layer, attribute, value)
        return layer
    chosen = viewer.layers.selection.active
    layer = viewer.add_layer(kind(data, metadata={METADATA_KEY: key}, **place, **new))
    if chosen is not None:
        viewer.layers.selection.active = chosen
    return layer


def _key(like: layers.Image, name: str) -> tuple[str, str]:
    return (str(like.unique_id), name)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Affine):
        return np.allclose(one.affine_matrix, other.affine_matrix)
    if isinstance(one, np.ndarray):
        return np.allclose(one, other)
    return bool(one == other)
