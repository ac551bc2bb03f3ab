"""Small ND2, LIF and CZI files, written for the tests as their formats have it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

_MAGIC = 0x0ABECEDA
_UNSIGNED, _DOUBLE, _STRING, _LEVEL = 3, 6, 8, 11


def write_nd2(
    path: Path, pixels: NDArray[np.uint16], *, missing: int | None = None, rgb: bool = False
) -> None:
    """Write (P, T, Z, C, Y, X) as ND2 3.0 with 0.1 µm, steps of 0.4 µm and 2 s between frames."""
    positions, times, planes, channels, height, width = pixels.shape
    frames = pixels.transpose(0, 1, 2, 4, 5, 3).reshape(-1, height, width, channels)
    attributes = {
        "uiBpcInMemory": 16,
        "uiBpcSignificant": 12,
        "uiComp": channels,
        "uiHeight": height,
        "uiWidth": width,
        "uiWidthBytes": 2 * width * channels,
        "uiSequenceCount": len(frames),
        "eCompression": 2,
    }
    shown = {"uiCount": 2, "pPoint": {"a0": {"dTValue": 1.0, "dWavelength": 525.0}}}
    planes_of = {
        f"a{n}": {
            "sDescription": f"channel {'AB'[n]}",
            "uiColor": 0x00FF00 if n else 0x0000FF,
            "uiCompCount": 3 if rgb else 1,
            "pFluorescentProbe": {"m_EmissionSpectrum": shown},
        }
        for n in range(1 if rgb else channels)
    }
    metadata = {
        "bCalibrated": 1,
        "dCalibration": 0.1,
        "dObjectiveNA": 1.4,
        "dRefractIndex1": 1.515,
        "sPicturePlanes": {"uiCount": len(planes_of), "sPlaneNew": planes_of},
    }
    z = _loop(4, {"uiCount": planes, "dZStep": 0.4}) if planes > 1 else None
    time = {
        "uiCount": times,
        "dStart": 0.0,
        "dPeriod": 2000.0,
        "dDuration": 0.0,
    }
    t = _loop(1, time, z) if times > 1 else z
    points = {f"i{n:010d}": {"dPosX": float(n), "dPosName": f"A{n + 1}"} for n in range(positions)}
    experiment = _loop(2, {"Points": points}, t) if positions > 1 else t
    chunks = {
        "ImageAttributesLV!": _lite({"SLxImageAttributes": attributes}),
        "ImageMetadataSeqLV|0!": _lite({"SLxPictureMetadata": metadata}),
    }
    if experiment is not None:
        chunks["ImageMetadataLV!"] = _lite({"SLxExperiment": experiment})
    named = b"ND2 FILE SIGNATURE CHUNK NAME01!"
    head = struct.pack("<IIQ", _MAGIC, 32, 64) + named + b"Ver3.0".ljust(64, b"\0")
    written = head.ljust(4096, b"\0")
    places: list[tuple[str, int, int]] = []
    for number, frame in enumerate(frames):
        if number == missing:
            continue
        places.append((f"ImageDataSeq|{number}!", len(written), frame.nbytes))
        header = struct.pack("<IIQ", _MAGIC, 4080 - 16 + 16, frame.nbytes + 8)
        written += header.ljust(4096, b"\0") + np.ascontiguousarray(frame, "<u2").tobytes()
    for name, content in chunks.items():
        places.append((name, len(written), len(content)))
        label = name.encode().ljust(48, b"\0")
        written += struct.pack("<IIQ", _MAGIC, len(label), len(content)) + label + content
    table = b"".join(
        name.encode() + struct.pack("<QQ", where, size) for name, where, size in places
    )
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!"
    table += end + struct.pack("<Q", len(written))
    label = b"ND2 FILEMAP SIGNATURE NAME 0001!"
    chunk = struct.pack("<IIQ", _MAGIC, len(label), len(table)) + label + table
    path.write_bytes(written + chunk)


def _loop(kind: int, settings: dict[str, Any], inner: Any = None) -> dict[str, Any]:
    loop: dict[str, Any] = {"eType": kind, "uLoopPars": settings}
    return {**loop, "ppNextLevelEx": {"i0000000000": inner}} if inner else loop


def _lite(values: dict[str, Any]) -> bytes:
    """Write values as Nikon's variants: kind, length of the name, name, content."""
    out = b""
    for name, value in values.items():
        label = (name + "\0").encode("utf-16-le")
        kind, content = _DOUBLE, b""
        if isinstance(value, dict):
            kind, inner = _LEVEL, _lite(value)
            length = 2 + len(label) + 12 + len(inner)
            content = struct.pack("<IQ", len(value), length) + inner + bytes(8 * len(value))
        elif isinstance(value, str):
            kind, content = _STRING, (value + "\0").encode("utf-16-le")
        elif isinstance(value, int):
            kind, content = _UNSIGNED, struct.pack("<I", value)
        else:
            content = struct.pack("<d", value)
        out += struct.pack("BB", kind, len(label) // 2) + label + content
    return out


def write_lif(
    path: Path, images: dict[str, NDArray[np.uint16]], dimensions: str = "TZCYX", samples: int = 0
) -> None:
    """Write arrays (T, Z, C, Y, X) as LIF 2 of a camera, 0.1 µm, 0.4 µm and 2 s apart.

    Parameters
    ----------
    path, images
        The file, and its images by their names.
    dimensions
        What the axes are; "M" for tiles, "λ" for a spectral scan in place of T.
    samples
        Channels that lie beside each other in a pixel, as of a colour camera.
    """
    described = ""
    blocks = b""
    for number, (name, pixels) in enumerate(images.items()):
        described += _lif_image(name, pixels, dimensions, f"MemBlock_{number}", samples)
        label = f"MemBlock_{number}".encode("utf-16-le")
        stored = pixels.transpose(0, 1, 3, 4, 2) if samples else pixels
        data = np.ascontiguousarray(stored, "<u2").tobytes()
        block = struct.pack("<BQBI", 0x2A, len(data), 0x2A, len(label) // 2) + label
        blocks += struct.pack("<II", 0x70, len(block)) + block + data
    text = (
        f'<LMSDataContainerHeader Version="2"><Element Name={quoteattr(path.name)}><Data />'
        f'<Memory Size="0" MemoryBlockID="MemBlock_X" /><Children>{described}</Children>'
        "</Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    head = struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(text) // 2)
    path.write_bytes(head + text + blocks)


def _lif_image(
    name: str, pixels: NDArray[np.uint16], dimensions: str, block: str, samples: int
) -> str:
    kinds = {"X": (1, 0.1e-6, "m"), "Y": (2, 0.1e-6, "m"), "Z": (3, 0.4e-6, "m")}
    kinds |= {"T": (4, 2.0, "s"), "M": (10, 1.0, ""), "λ": (5, 1e-8, "m")}
    strides = dict(zip(dimensions, np.cumprod([2, *pixels.shape[:0:-1]])[::-1], strict=True))
    count = pixels.shape[dimensions.index("C")]
    channel = int(strides["C"])
    if samples:
        channel = 2
        strides |= {"X": 2 * count, "Y": 2 * count * pixels.shape[-1]}
    listed = "".join(
        f'<DimensionDescription DimID="{kinds[letter][0]}" NumberOfElements="{length}" Origin="0" '
        f'Length="{kinds[letter][1] * (length - 1)}" Unit="{kinds[letter][2]}" BitInc="0" '
        f'BytesInc="{strides[letter]}" />'
        for letter, length in reversed(list(zip(dimensions, pixels.shape, strict=True)))
        if letter != "C"
    )
    channels = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="{n + 1 if samples else 0}" Resolution="12" '
        'NameOfMeasuredQuantity="" Min="0" Max="4095" Unit="" '
        f'LUTName="{("Green", "Red", "Blue")[n]}" IsLUTInverted="0" BytesInc="{n * channel}" '
        'BitInc="0" />'
        for n in range(count)
    )
    infos = "".join(
        f'<WideFieldChannelInfo UserDefName="dye {n}" EmissionWavelength="{510 + 100 * n}" />'
        for n in range(count)
    )
    return (
        f"<Element Name={quoteattr(name)}><Data><Image><ImageDescription><Channels>{channels}"
        f"</Channels><Dimensions>{listed}</Dimensions></ImageDescription>"
        '<Attachment Name="HardwareSetting"><ATLCameraSettingDefinition NumericalAperture="1.4" '
        f'RefractionIndex="1.518"><WideFieldChannelConfigurator>{infos}'
        "</WideFieldChannelConfigurator></ATLCameraSettingDefinition></Attachment></Image></Data>"
        f'<Memory Size="{pixels.nbytes}" MemoryBlockID="{block}" /></Element>'
    )


def write_czi(
    path: Path, pixels: NDArray[np.generic], leave_out: int | None = None, overlap: int = 0
) -> None:
    """Write (S, T, Z, C, Y, X), or (S, T, Z, C, Y, X, 3) in colours, as CZI; 0.1 µm, 0.4 µm.

    Parameters
    ----------
    path, pixels
        The file and its scenes.
    leave_out
        Number of the plane that is not written.
    overlap
        Write each plane as two tiles, side by side, that overlap by so many columns.
    """
    from pylibCZIrw import czi

    width = pixels.shape[5]
    with czi.create_czi(str(path)) as file:
        for number, (s, t, z, c) in enumerate(np.ndindex(pixels.shape[:4])):
            if number == leave_out:
                continue
            spans = [(0, width)]
            if overlap:
                spans = [(0, width // 2 + overlap), (width // 2, width)]
            for begin, end in spans:
                file.write(
                    np.ascontiguousarray(pixels[s, t, z, c][:, begin:end]),
                    plane={"T": t, "Z": z, "C": c},
                    scene=s,
                    location=(1000 * s + begin, 30),
                )
        names = {n: f"channel {'AB'[n]}" for n in range(pixels.shape[3])}
        file.write_metadata("cells", names, scale_x=1e-7, scale_y=1e-7, scale_z=4e-7)
