"""Damaged and hostile files, made from sound ones with a seed, and what a command makes of them.

``python mutants.py FOLDER SEED NUMBER`` writes a line of JSON for each call of the command.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import resource
import signal
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

SECONDS = 20
NUMBERS = (0, 1, 2, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 10**12, 2**62, -1)
ODDITIES = (
    *(None, True, -1, 0, 10**15, 10**400, 1e308, float("nan"), float("inf")),
    *("", "x" * 5000, "0/0", "a\0b", [], {}, [[]], [1] * 1000, {"a": 1}),
)
IMAGES = (".tif", ".tiff", ".btf", ".npy", ".mrc", ".dv")


# ------------------------------------------------------------------ sound files


def write_sound(folder: Path) -> None:
    """Write one small file of each kind that the commands read."""
    import mrcfile

    random = np.random.default_rng(1)
    image = random.poisson(30, (3, 40, 48)).astype(np.uint16) + 100
    step = {"resolution": (10, 10), "metadata": {"axes": "ZYX", "spacing": 0.3, "unit": "um"}}
    grey = {"photometric": "minisblack"}
    tifffile.imwrite(folder / "plain.tif", image, **grey)
    tifffile.imwrite(folder / "imagej.tif", image, imagej=True, **step)
    tifffile.imwrite(folder / "deflate.tif", image, compression="zlib", rowsperstrip=8, **grey)
    tifffile.imwrite(folder / "lzma.tif", image[0], compression="lzma")
    tiles = {"tile": (16, 16), "predictor": 2}
    tifffile.imwrite(folder / "tiled.tif", image, compression="zlib", **tiles, **grey)
    tifffile.imwrite(folder / "float.tif", image[0].astype(np.float32), byteorder=">")
    tifffile.imwrite(folder / "big.btf", image, bigtiff=True, **grey)
    channels = {"axes": "CYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "SignificantBits": 16}
    tifffile.imwrite(folder / "channels.ome.tif", image, ome=True, metadata=channels)
    np.save(folder / "array.npy", image)
    np.save(folder / "float.npy", image[0].astype(np.float64))
    with mrcfile.new(folder / "stack.mrc") as file:
        file.set_data(image.astype(np.float32))
        file.voxel_size = 1000
    header = bytearray((folder / "stack.mrc").read_bytes())
    header[96:98] = struct.pack("<h", -16224)
    (folder / "stack.dv").write_bytes(header)
    write_model_and_records(folder)


def write_model_and_records(folder: Path) -> None:
    """Write a model, a training that can go on, a record, a noise model and SIM patterns."""
    from dataclasses import replace

    import napari_zsdeconvnet as zs
    from napari_zsdeconvnet.io.image_files import read_image
    from napari_zsdeconvnet.model.presets import PRESETS
    from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
    from napari_zsdeconvnet.simulation.sample import simulate
    from napari_zsdeconvnet.workflow.record import RunRecord, iter_recorded

    sample = simulate(shape=(48, 48), photons=50, seed=1)
    tifffile.imwrite(folder / "cell.tif", sample.raw)
    noise = zs.NoiseModel(100, 1.25, 4.0, gain_error=0.05, source="dark frames")
    preset = replace(PRESETS["fast"], patch=48, batch=1)
    image = read_image(folder / "cell.tif")
    run = zs.train(
        image, sample.psf.cropped(9), noise, preset=preset, steps=1, seed=1, device="cpu"
    )
    list(run)
    run.save(folder / "model.safetensors")
    tiles = iter_recorded(run.model, image, device="cpu")
    while True:
        try:
            next(tiles)
        except StopIteration as end:
            result, prediction = end.value
            break
    prediction = prediction.with_outputs(result, {"deconvolved": "cell_deconvolved.tif"})
    RunRecord.of(run.model, prediction=prediction).write(folder / "record.json")
    (folder / "noise.json").write_text(json.dumps(noise.to_dict()))
    simulate_sim("filaments", shape=(48, 48), photons=30, seed=4).patterns.save(
        folder / "patterns.json"
    )


# ------------------------------------------------------------------ mutations


def mutated(content: bytes, name: str, random: np.random.Generator) -> bytes:
    """Damage a file in a way that suits its kind, or in one that suits them all."""
    own = {".json": edit_json, ".safetensors": edit_safetensors, ".npy": edit_npy}
    own |= {".mrc": edit_mrc, ".dv": edit_mrc, ".tif": edit_tiff, ".btf": edit_tiff}
    choices = [flip, flip, truncate, overwrite, lengthen] + 5 * [own[Path(name).suffix]]
    if b"<OME" in content:
        choices += 5 * [edit_ome]
    return choices[random.integers(len(choices))](content, random)


def flip(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    reach = len(changed) if random.random() < 0.5 else min(len(changed), 512)
    for place in random.integers(reach, size=random.integers(1, 9)):
        changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def truncate(content: bytes, random: np.random.Generator) -> bytes:
    return content[: random.integers(1, len(content))]


def overwrite(content: bytes, random: np.random.Generator) -> bytes:
    start, length = int(random.integers(len(content))), int(random.integers(1, 64))
    fill = [b"\0", b"\xff", b"9", random.bytes(1)][random.integers(4)] * length
    return (content[:start] + fill + content[start + length :])[: len(content)]


def lengthen(content: bytes, random: np.random.Generator) -> bytes:
    place = int(random.integers(len(content)))
    return content[:place] + random.bytes(int(random.integers(1, 40))) + content[place:]


def edit_tiff(content: bytes, random: np.random.Generator) -> bytes:
    """Give a tag of a page another number, type or count."""
    changed = bytearray(content)
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        page = tiff.pages[int(random.integers(len(tiff.pages)))]
        tag = list(page.tags)[random.integers(len(page.tags))]
        order, big = tiff.byteorder, tiff.is_bigtiff
    field = [(2, "H"), (4, "Q" if big else "I"), (12 if big else 8, "Q" if big else "I")]
    offset, code = field[random.integers(3)]
    number = NUMBERS[random.integers(len(NUMBERS))] % 256 ** struct.calcsize(code)
    struct.pack_into(order + code, changed, tag.offset + offset, number)
    return bytes(changed)


def edit_ome(content: bytes, random: np.random.Generator) -> bytes:
    """Put another value, as long or longer, into an attribute of the XML."""
    found = list(re.finditer(rb'"([^"<>]*)"', content))
    place = found[random.integers(len(found))]
    values = [str(number).encode() for number in NUMBERS] + [
        b"x",
        b"",
        b"1,5",
        b"\xff",
        b"&&",
        b"<",
    ]
    value = values[random.integers(len(values))].ljust(place.end(1) - place.start(1))
    return (
        content[: place.start(1)] + value[: place.end(1) - place.start(1)] + content[place.end(1) :]
    )


def edit_mrc(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    number = NUMBERS[random.integers(len(NUMBERS))] % 2**32
    struct.pack_into("<I", changed, 4 * int(random.integers(56)), number)
    return bytes(changed)


def edit_npy(content: bytes, random: np.random.Generator) -> bytes:
    values = [b"(1000000000000,)", b"(-1, 4)", b"(10, 10, 10, 10, 10)", b"()", b"(1e9,)", b"[3]"]
    values += [b"'|O'", b"'<f2'", b"'<c16'", b"'<U99999999'", b"None", b"((((((", b"True"]
    found = list(re.finditer(rb"'<[uf]\d'|\(\d[\d, ]*\)|False", content[:128]))
    place = found[random.integers(len(found))]
    header = content[10 : place.start()] + values[random.integers(len(values))]
    header = (header + content[place.end() : 128]).rstrip() + b"\n"
    return content[:8] + struct.pack("<H", len(header)) + header + content[128:]


def edit_json(content: bytes, random: np.random.Generator) -> bytes:
    """Replace or remove an entry, however deep."""
    values = json.loads(content)
    places = list(walk(values))
    for _ in range(random.integers(1, 3)):
        holder, key = places[random.integers(len(places))]
        if random.random() < 0.2 and isinstance(holder, dict):
            holder.pop(key, None)
        else:
            holder[key] = ODDITIES[random.integers(len(ODDITIES))]
    return json.dumps(values).encode()


def walk(values: object) -> Iterator[tuple[object, object]]:
    entries = values.items() if isinstance(values, dict) else enumerate(values)  # type: ignore
    for key, value in entries:
        yield values, key
        if isinstance(value, dict | list):
            yield from walk(value)


def edit_safetensors(content: bytes, random: np.random.Generator) -> bytes:
    """Edit what a model says of itself, the table of its tensors, or the length of both.

    Half of the edits come without the checksum, as an older file would.
    """
    (length,) = struct.unpack("<Q", content[:8])
    table, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    if random.random() < 0.2:
        return struct.pack("<Q", NUMBERS[random.integers(len(NUMBERS))] % 2**64) + content[8:]
    if random.random() < 0.3:
        table = json.loads(edit_json(json.dumps(table).encode(), random))
    else:
        described = table["__metadata__"]["zsdeconvnet"].encode()
        table["__metadata__"]["zsdeconvnet"] = edit_json(described, random).decode()
    if random.random() < 0.5 and isinstance(table.get("__metadata__"), dict):
        table["__metadata__"].pop("sha256", None)
    header = json.dumps(table).encode()
    return struct.pack("<Q", len(header)) + header + data


# ------------------------------------------------------------------ bombs


def write_bombs(folder: Path, sound: Path) -> None:
    """Write files that declare, or grow to, far more than they hold."""
    deep = 200_000
    bombs: dict[str, bytes] = {
        "deep.json": b"[" * deep + b"]" * deep,
        "digits.json": b'{"offset": ' + b"9" * 100_000 + b', "gain": 1, "read_variance": 1}',
        "header.safetensors": struct.pack("<Q", 2**62) + b"{}",
        "header.npy": np.lib.format.magic(1, 0) + struct.pack("<H", 65535) + b"(" * 65535,
    }
    for name, content in bombs.items():
        (folder / name).write_bytes(content)
    record = json.loads((sound / "record.json").read_text())
    record["psf"]["array"]["shape"] = [10**6 + 1, 10**6 + 1]
    (folder / "shape.json").write_text(json.dumps(record))
    tiff = tifffile.imwrite
    for name, rows, strip in (("white.tif", 60_000, 600), ("one_strip.tif", 30_000, 30_000)):
        blank = grown(2 * 60_000 * strip)
        layout = {"shape": (rows, 60_000), "dtype": np.uint16, "rowsperstrip": strip}
        tiff(folder / name, iter([blank] * (rows // strip)), compression="zlib", **layout)
    small = np.full((64, 64), 7, np.uint16)
    tiff(folder / "grows.tif", small, compression="zlib")
    content = bytearray((folder / "grows.tif").read_bytes())
    stream = grown(2**32)
    with tifffile.TiffFile(folder / "grows.tif") as file:
        tags = file.pages.first.tags
        struct.pack_into("<I", content, tags["StripOffsets"].valueoffset, len(content))
        struct.pack_into("<I", content, tags["StripByteCounts"].valueoffset, len(stream))
    (folder / "grows.tif").write_bytes(bytes(content) + stream)
    ome = {"axes": "TYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
    tiff(folder / "frames.ome.tif", small[None], ome=True, metadata=ome)
    for path, old, new in (
        ("frames.ome.tif", b'SizeT="1"', b'SizeT="999999999999"'),
        ("pages.tif", b'"shape": [64, 64]', b'"shape": [999999, 999999, 64, 64]'),
        ("images.tif", b"images=4", b"images=4000000000"),
    ):
        if path == "pages.tif":
            tiff(folder / path, small)
        if path == "images.tif":
            tiff(folder / path, np.stack([small] * 4), imagej=True)
        insert(folder / path, old, new)


def grown(size: int) -> bytes:
    """A deflate stream, a thousandth as long, of that many zeros."""
    compressor = zlib.compressobj(9)
    block = bytes(10**6)
    parts = [compressor.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, compressor.compress(bytes(size % len(block))), compressor.flush()])


def insert(path: Path, old: bytes, new: bytes) -> None:
    """Put another word into the first page's description, which moves to the end of the file."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags["ImageDescription"]
        text = bytes(content[tag.valueoffset : tag.valueoffset + tag.count])
    text = text.replace(old, new)
    assert new in text, (path, old)
    struct.pack_into("<II", content, tag.offset + 4, len(text), len(content))
    path.write_bytes(bytes(content) + text)


# ------------------------------------------------------------------ calling the command


def calls(path: Path, sound: Path, number: int) -> list[list[str]]:
    """Commands to which a file is put."""
    out = str(path.with_name("out.tif"))
    if path.suffix == ".safetensors":
        predict = ["predict", str(path), str(sound / "cell.tif"), "-o", out]
        return [["info", str(path)], [*predict, "--force", "--device", "cpu"]]
    if path.suffix == ".json":
        more = [["info", "--methods", str(path)], ["repeat", str(path), "-o", str(path.parent)]]
        return [["info", str(path)], more[number % 2]]
    more = [
        ["calibrate", str(path), "--offset", "100"],
        ["psf", "read", str(path), "--voxel-size", "0.1"],
        ["info", "--psf", str(path)],
    ]
    return [["info", str(path)], more[number % 3]]


def call(arguments: list[str]) -> dict[str, object]:
    """Run the command here, with what it printed, how long it took and how much memory."""
    from napari_zsdeconvnet.cli.main import main

    forget_peak()
    out, err, begun = io.StringIO(), io.StringIO(), time.perf_counter()
    signal.alarm(3 * SECONDS)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = main(arguments)
        except SystemExit as end:
            code = end.code
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    signal.alarm(0)
    return {
        "arguments": arguments,
        "code": code,
        "seconds": time.perf_counter() - begun,
        "peak": peak_memory(),
        "said": err.getvalue()[-500:],
    }


def forget_peak() -> None:
    """Let the peak of memory begin anew, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Most bytes of memory since then, or since the start."""
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def try_out(path: Path, sound: Path, number: int) -> None:
    """Put a file to the commands; it stays only if one of them fails."""
    answers = [call(arguments) for arguments in calls(path, sound, number)]
    for answer in answers:
        print(json.dumps(answer), flush=True)
    if all(answer["code"] in (0, 2) for answer in answers):
        path.unlink()


def main(folder: Path, seed: int, number: int) -> None:
    """Put sound files, bombs and so many mutants to the command."""
    sound, broken = folder / "sound", folder / "broken"
    for place in (sound, broken):
        place.mkdir()
    write_sound(sound)
    for path in sorted(sound.iterdir()):
        for arguments in calls(path, sound, 0)[:1]:
            print(json.dumps({"sound": True, **call(arguments)}), flush=True)
    write_bombs(broken, sound)
    for path in sorted(broken.iterdir()):
        try_out(path, sound, 1)
    random = np.random.default_rng(seed)
    names = sorted(path.name for path in sound.iterdir())
    for index in range(number):
        name = names[index % len(names)]
        path = broken / f"{index}_{name}"
        path.write_bytes(mutated((sound / name).read_bytes(), name, random))
        try_out(path, sound, index)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
