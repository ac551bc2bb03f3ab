"""What holds for every test: one thread for torch, unless the caller asks for more."""

from __future__ import annotations

import os

# The tests' tensors are small: on a busy machine with two cores, two threads that wait for each
# other took nine times as long as one. Must be set before torch is imported; commands that a
# test starts inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
