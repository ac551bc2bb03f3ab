"""Optics, channels and pixels are found in what real readers leave behind, and nothing else is."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from napari_zsdeconvnet.cli.commands.training_psf import with_recorded
from napari_zsdeconvnet.cli.console import Console
from napari_zsdeconvnet.io.acquisition import Optics, Recorded, recorded
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.io.image_files import read_image, read_recorded
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.io.selection import one_of

OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
  <Instrument ID="Instrument:0">
    <Objective ID="Objective:0" LensNA="1.4" Immersion="Oil" NominalMagnification="63"/>
  </Instrument>
  <Image ID="Image:0" Name="first">
    <ObjectiveSettings ID="Objective:0" RefractiveIndex="1.518"/>
    <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="30" SizeY="20" SizeZ="1"
            SizeC="2" SizeT="1" PhysicalSizeX="65" PhysicalSizeXUnit="nm" PhysicalSizeY="0.065"
            PhysicalSizeZ="1">
      <Channel ID="Channel:0:0" Name="GFP" EmissionWavelength="525" ExcitationWavelength="488"
               AcquisitionMode="WideField" SamplesPerPixel="1"/>
      <Channel ID="Channel:0:1" Name="RFP" EmissionWavelength="605" SamplesPerPixel="1"/>
      <TiffData/>
    </Pixels>
  </Image>
  <Image ID="Image:1"><Pixels><Channel Name="another" EmissionWavelength="700"/></Pixels></Image>
</OME>"""

GFP = Optics(1.4, 0.525, 1.518, 0.488, "widefield")
RFP = Optics(1.4, 0.605, 1.518)

CZI = """<ImageDocument><Metadata>
  <Scaling><Items>
    <Distance Id="X"><Value>6.5e-8</Value></Distance>
    <Distance Id="Y"><Value>6.5e-8</Value></Distance>
    <Distance Id="Z"><Value>2e-7</Value></Distance>
  </Items></Scaling>
  <Information>
    <Image><Dimensions><Channels>
      <Channel Id="Channel:0" Name="AF488"><EmissionWavelength>517.5</EmissionWavelength>
        <AcquisitionMode>LaserScanningConfocalMicroscopy</AcquisitionMode></Channel>
      <Channel Id="Channel:1" Name="AF568"><EmissionWavelength>603</EmissionWavelength></Channel>
    </Channels></Dimensions></Image>
    <Instrument><Objectives><Objective Name="Plan">
      <LensNA>1.2</LensNA><Immersion>Water</Immersion></Objective></Objectives></Instrument>
  </Information>
</Metadata></ImageDocument>"""

LIF = (
    '<Element><Data><Image><Attachment><ATLConfocalSettingDefinition NumericalAperture="1.3" '
    'RefractionIndex="1.45" Immersion="GLYC"/></Attachment></Image></Data></Element>'
)


class Immersion(Enum):
    OIL = "Oil"


class Unit(Enum):
    MICROMETER = "µm"
    NANOMETER = "nm"


@dataclass
class NikonChannel:
    """Nested and named as in the structures of Nikon's readers."""

    channel: Any
    microscope: Any = field(
        default_factory=lambda: SimpleNamespace(
            objectiveNumericalAperture=1.45,
            immersionRefractiveIndex=1.515,
            modalityFlags=["fluorescence", "spinningDiskConfocal"],
        )
    )
    volume: Any = field(
        default_factory=lambda: SimpleNamespace(axesCalibration=(0.108, 0.108, 0.25))
    )


def ome_objects() -> SimpleNamespace:
    """OME as the classes that several readers make of it, plural names and enumerations."""
    pixels = SimpleNamespace(
        physical_size_x=0.065,
        physical_size_x_unit=Unit.MICROMETER,
        physical_size_y=65.0,
        physical_size_y_unit=Unit.NANOMETER,
        channels=[
            SimpleNamespace(name="GFP", emission_wavelength=525.0),
            SimpleNamespace(name="RFP", emission_wavelength=605.0),
        ],
    )
    return SimpleNamespace(
        images=[SimpleNamespace(name="first", pixels=pixels)],
        instruments=[
            SimpleNamespace(objectives=[SimpleNamespace(lens_na=1.4, immersion=Immersion.OIL)])
        ],
    )


class TestWhatReadersLeave:
    def test_ome_as_text(self):
        assert recorded(OME) == Recorded((GFP, RFP), ("GFP", "RFP"), (1.0, 0.065, 0.065))

    def test_ome_as_dictionaries(self):
        assert recorded({"metadata": tifffile.xml2dict(OME)}) == recorded(OME)

    def test_ome_as_objects_beside_what_is_no_metadata(self):
        found = recorded({"aicsimage": object(), "data": np.ones(3), "ome_types": ome_objects()})
        assert found.channels == (Optics(1.4, 0.525, 1.515), Optics(1.4, 0.605, 1.515))
        assert found.channel_names == ("GFP", "RFP")
        assert found.steps == (None, 0.065, 0.065)

    @pytest.mark.parametrize("as_element", [True, False])
    def test_zeiss_xml(self, as_element):
        found = recorded({"raw_image_metadata": ElementTree.fromstring(CZI) if as_element else CZI})
        assert found.channels[0] == Optics(1.2, 0.5175, 1.333, modality="confocal")
        assert found.channels[1] == Optics(1.2, 0.603, 1.333)
        assert found.channel_names == ("AF488", "AF568")
        assert found.steps == (0.2, 0.065, 0.065)

    def test_leica_xml(self):
        assert recorded(LIF).optics() == Optics(na=1.3, refractive_index=1.45)

    def test_nikon_structures(self):
        channels = [
            NikonChannel(SimpleNamespace(name=name, emissionLambdaNm=wavelength))
            for name, wavelength in (("DAPI", 457.0), ("GFP", 535.0))
        ]
        found = recorded({"metadata": SimpleNamespace(channels=channels)})
        assert found.channel_names == ("DAPI", "GFP")
        assert found.steps == (0.25, 0.108, 0.108)
        assert found.optics(1) == Optics(1.45, 0.535, 1.515, modality="confocal")

    def test_lines_that_bio_formats_leaves_in_imagej_files(self):
        lines = (
            "Information|Instrument|Objective|LensNA #1 = 1.3\n"
            "Information|Image|Channel|EmissionWavelength #1 = 525.0\n"
            "Information|Image|Channel|EmissionWavelength #2 = 605.0\n"
        )
        found = recorded({"Info": lines})
        assert found.channels == (Optics(1.3, 0.525), Optics(1.3, 0.605))

    def test_what_holds_for_all_channels_is_said_once(self):
        one = recorded({"LensNA": 1.4, "Channel": [{"Name": "a"}, {"Name": "b"}]})
        assert one.channels == (Optics(na=1.4),)
        assert one.optics(1) == Optics(na=1.4)


class TestNothingIsInvented:
    @pytest.mark.parametrize(
        "metadata",
        [
            None,
            {},
            {"a": [1, 2, 3], "b": "text", "c": None},
            "<not xml",
            {"LensNA": 0, "EmissionWavelength": 0, "RefractiveIndex": "unknown"},
            {"LensNA": "63", "EmissionWavelength": -525},
            {"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0},
            {"PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "pixel"},
        ],
    )
    def test_what_is_absent_or_impossible_stays_unknown(self, metadata):
        assert recorded(metadata) == Recorded()

    def test_a_wavelength_is_read_in_nanometres_micrometres_and_metres(self):
        for value in (525, "525 nm", 0.525, 5.25e-7):
            assert recorded({"EmissionWavelength": value}).optics().wavelength == 0.525

    def test_a_channel_that_says_nothing_does_not_borrow_from_another(self):
        channels = [{"Name": "a", "EmissionWavelength": 525}, {"Name": "b"}]
        assert recorded({"Channel": channels}).optics(1).wavelength is None

    def test_metadata_that_contain_themselves_end(self):
        loop: dict[str, Any] = {"LensNA": 1.4}
        loop["self"] = loop
        assert recorded(loop).optics().na == 1.4


class TestFiles:
    @pytest.fixture
    def ome_tiff(self, tmp_path: Path) -> Path:
        path = tmp_path / "image.ome.tif"
        described = OME[: OME.index('<Image ID="Image:1"')] + "</OME>"
        tifffile.imwrite(
            path,
            np.ones((2, 20, 30), "uint16"),
            photometric="minisblack",
            description=described,
            metadata=None,
        )
        return path

    def test_an_image_has_the_optics_of_its_channels(self, ome_tiff):
        image = read_image(ome_tiff)
        assert image.axes == "CYX"
        assert image.optics == (GFP, RFP)
        assert one_of(image, "C", 1).optics == (RFP,)

    def test_they_are_read_without_pixels(self, ome_tiff, monkeypatch):
        monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", None)
        found = read_recorded(ome_tiff)
        assert found.channels == (GFP, RFP)
        assert found.channel_names == ("GFP", "RFP")
        assert found.steps == (None, 0.065, 0.065)

    def test_an_imagej_file_says_its_pixels_and_its_lines(self, tmp_path):
        path = tmp_path / "image.tif"
        tifffile.imwrite(
            path,
            np.ones((20, 30), "uint16"),
            imagej=True,
            resolution=(1 / 0.1, 1 / 0.1),
            metadata={"unit": "um", "Info": "dObjectiveNA = 1.49\n"},
        )
        said = Recorded((Optics(na=1.49),), (), (None, 0.1, 0.1), axes="YX")
        assert read_recorded(path) == said
        assert read_image(path).optics == (Optics(na=1.49),)

    def test_training_in_the_shell_takes_what_is_not_typed(self, ome_tiff, capsys):
        typed = argparse.Namespace(
            psf=None, na=None, wavelength=0.61, refractive_index=None, channel=1, modality=None
        )
        image = one_of(read_image(ome_tiff), "C", 1)
        taken = with_recorded(typed, image, Console(json=False))
        assert (taken.na, taken.wavelength, taken.refractive_index) == (1.4, 0.61, None)
        assert "NA 1.4" in capsys.readouterr().out
        typed.psf = "psf.tif"
        assert with_recorded(typed, image, Console(json=False)) is typed

    @pytest.mark.parametrize("typed", [None, "widefield"])
    def test_the_shell_says_where_a_confocal_is_taken_for_widefield(self, typed, capsys):
        image = Image(np.ones((20, 30)), "YX", optics=(Optics(na=1.4, modality="confocal"),))
        names = ("psf", "na", "wavelength", "refractive_index")
        arguments = argparse.Namespace(**dict.fromkeys(names), modality=typed)
        with_recorded(arguments, image, Console(json=False))
        assert ("--modality confocal" in capsys.readouterr().err) == (typed is None)

    def test_other_files_say_nothing(self, tmp_path):
        (tmp_path / "broken.tif").write_bytes(b"II*\0 and no more")
        np.save(tmp_path / "image.npy", np.ones((20, 30)))
        for name in ("broken.tif", "image.npy", "missing.tif"):
            assert read_recorded(tmp_path / name) == Recorded()

    def test_a_plain_file_says_no_optics(self, tmp_path):
        write_image(tmp_path / "image.tif", np.ones((20, 30)), axes="YX", voxel_size=(0.1, 0.1))
        assert read_image(tmp_path / "image.tif").optics == ()
