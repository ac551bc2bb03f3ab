from __future__ import annotations

import gc
import weakref

import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy

from napari_zsdeconvnet._qt.layers.state import ViewerState, unwrapped


def test_the_widgets_of_one_viewer_share_a_state_and_two_viewers_do_not():
    first, second = ViewerModel(), ViewerModel()
    assert ViewerState.of(first) is ViewerState.of(first)
    assert ViewerState.of(first) is not ViewerState.of(second)


def test_the_proxy_that_napari_hands_to_plugins_has_the_same_state():
    viewer = ViewerModel()
    proxy = PublicOnlyProxy(viewer)
    assert unwrapped(proxy) is viewer
    assert ViewerState.of(proxy) is ViewerState.of(viewer)


@pytest.mark.parametrize("name", ["noise", "psf", "model"])
def test_setting_a_value_tells_who_listens(name):
    state = ViewerState()
    heard = []
    getattr(state, f"{name}_changed").connect(heard.append)
    value = object()
    setattr(state, name, value)
    setattr(state, name, None)
    assert heard == [value, None]
    assert getattr(state, name) is None


def test_the_state_goes_with_its_viewer():
    viewer = ViewerModel()
    state = weakref.ref(ViewerState.of(viewer))
    del viewer
    gc.collect()
    assert state() is None
