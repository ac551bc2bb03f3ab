"""What bad input must be refused with: its code, not the wording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from napari_zsdeconvnet.utils.errors import InputError


@contextmanager
def refused(code: str, **fields: Any) -> Iterator[pytest.ExceptionInfo[InputError]]:
    """Expect an `InputError` of this code, with these values among its fields."""
    with pytest.raises(InputError) as found:
        yield found
    assert found.value.code == code, found.value
    assert {name: found.value.fields.get(name) for name in fields} == fields
