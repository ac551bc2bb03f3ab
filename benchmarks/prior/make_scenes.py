"""Draw scenes ahead of a training, which else draws each of them when it is first needed."""

from __future__ import annotations

import argparse
from pathlib import Path

from pool import Pool
from safetensors.torch import load_file
from train_prior_corrector import Samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--number", type=int, default=1600)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--sharpened", type=Path, help="weights, to make sharpened volumes")
    options = parser.parse_args()
    pool: Pool | Samples = Pool(options.folder)
    if options.sharpened:
        weights = load_file(options.sharpened)
        pool = Samples(options.folder, {name: w.float() for name, w in weights.items()})
    for number in range(options.first, options.number, options.step):
        _ = pool[number]


if __name__ == "__main__":
    main()
