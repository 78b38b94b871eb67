"""Portraits of any size and kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from player.portraits import check_portrait, read_portrait
from player.sources.base import SourceError


def save(path: Path, mode: str, size: tuple[int, int], colour: object, **options: object) -> Path:
    Image.new(mode, size, colour).save(path, **options)  # type: ignore[arg-type]
    return path


def test_a_portrait_of_the_right_size_is_itself(tmp_path: Path) -> None:
    told: list[str] = []
    picture = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    read = read_portrait(tmp_path / "a.png", 32, 48, told.append)
    assert (read == picture).all() and read.dtype == np.uint8 and not told


def test_another_size_is_cut_about_its_middle_and_resized(tmp_path: Path) -> None:
    told: list[str] = []
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:, 100:200] = 200  # what is left of it when the sides are cut
    Image.fromarray(picture).save(tmp_path / "wide.png")
    read = read_portrait(tmp_path / "wide.png", 64, 64, told.append)
    assert read.shape == (64, 64, 3) and read[:, 2:-2].min() > 190
    assert len(told) == 1 and "300x100 pixels, cut about its middle and resized to 64x64" in told[0]
    read_portrait(save(tmp_path / "big.jpg", "RGB", (256, 256), "red"), 64, 64, told.append)
    assert "256x256 pixels, resized to 64x64" in told[1]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_put_on_white_and_said(tmp_path: Path, mode: str) -> None:
    told: list[str] = []
    if mode == "P":
        palette = Image.new("P", (32, 32), 0)
        palette.putpalette([255, 0, 0])
        palette.save(tmp_path / "t.png", transparency=0)
    else:
        save(tmp_path / "t.png", mode, (32, 32), (255, 0, 0, 0) if mode == "RGBA" else (0, 0))
    read = read_portrait(tmp_path / "t.png", 32, 32, told.append)
    assert (read == 255).all() and told == [f"{tmp_path / 't.png'} is transparent in parts: it is put on white"]


def ramp() -> np.ndarray:
    """[32, 48] of every brightness, black at the left, at 16 bits."""
    return np.tile(np.linspace(0, 65535, 48).round().astype(np.uint16), (32, 1))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "big.tif"])
def test_grey_of_16_bits_keeps_its_brightness(tmp_path: Path, name: str) -> None:
    path, grey = tmp_path / name, ramp()
    if name == "a.pgm":
        path.write_bytes(b"P5 48 32 65535\n" + grey.astype(">u2").tobytes())
    else:
        Image.fromarray(grey.astype(">u2") if name == "big.tif" else grey).save(path)
    with Image.open(path) as opened:
        assert opened.mode in ("I;16", "I;16B", "I")  # that there are 16 bits in it
    read = read_portrait(path, 32, 48, print)
    assert (read == np.round(grey / 257).astype(np.uint8)[..., None]).all()


def test_the_transparent_level_of_16_bits_is_put_on_white(tmp_path: Path) -> None:
    told: list[str] = []
    Image.fromarray(ramp()).save(tmp_path / "t.png", transparency=0)
    read = read_portrait(tmp_path / "t.png", 32, 48, told.append)
    assert (read[:, 0] == 255).all() and (read[:, 1] == 5).all() and "transparent" in told[0]


@pytest.mark.parametrize(("mode", "told"), [("F", "floating numbers"), ("I", "32-bit integers")])
def test_pictures_whose_white_is_not_known_are_refused(tmp_path: Path, mode: str, told: str) -> None:
    path = save(tmp_path / "a.tif", mode, (32, 32), 0)
    with pytest.raises(SourceError, match=f"a.tif holds {told}.*: save it with 8 or 16 bits"):
        read_portrait(path, 32, 32, print)


def test_grey_and_turned_pictures(tmp_path: Path) -> None:
    grey = read_portrait(save(tmp_path / "g.png", "L", (32, 32), 90), 32, 32, print)
    assert (grey == 90).all()
    solid: list[str] = []
    read_portrait(save(tmp_path / "solid.png", "RGBA", (32, 32), (9, 9, 9, 255)), 32, 32, solid.append)
    assert not solid
    turned = Image.new("RGB", (32, 64), "blue")
    turned.paste((255, 0, 0), (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned.save(tmp_path / "turned.png", exif=exif)
    read = read_portrait(tmp_path / "turned.png", 64, 32, print)
    assert read[60, 16, 0] > 200 > read[4, 16, 0]


def test_faces_are_looked_for_only_where_there_is_a_detector(tmp_path: Path) -> None:
    told: list[str] = []
    path = save(tmp_path / "wall.png", "RGB", (32, 32), "grey")
    read_portrait(path, 32, 32, told.append)
    assert not told
    faceless = read_portrait(path, 32, 32, told.append, detect=lambda picture: None)
    assert faceless.shape == (32, 32, 3) and told == [f"{path}: no face is found; it is used as it is"]
    read_portrait(path, 32, 32, told.append, detect=lambda picture: np.zeros((478, 2), np.float32))
    assert len(told) == 1


def test_where_a_face_is_found_it_is_cut_about_that(tmp_path: Path) -> None:
    told: list[str] = []
    picture = np.zeros((200, 400, 3), np.uint8)
    picture[60:100, 300:340] = 200  # a face, far from the middle
    Image.fromarray(picture).save(tmp_path / "aside.png")
    landmarks = np.full((478, 2), (0.8, 0.2), np.float32)
    landmarks[0], landmarks[1] = (0.75, 0.15), (0.85, 0.25)
    read = read_portrait(tmp_path / "aside.png", 64, 64, told.append, detect=lambda picture: landmarks)
    rows, columns = np.nonzero(read[..., 0] > 150)
    assert abs(rows.mean() - 31.5) < 2 and abs(columns.mean() - 31.5) < 2
    assert np.ptp(rows) == pytest.approx(32, abs=3)  # half of the picture: as in clips of films
    assert told == [f"{tmp_path / 'aside.png'}: 400x200 pixels, cut about its face and resized to 64x64"]


def test_a_detector_that_fails_costs_nothing_but_the_face(tmp_path: Path) -> None:
    def broken(picture: np.ndarray) -> None:
        raise RuntimeError("out of tensors")

    told: list[str] = []
    path = save(tmp_path / "wall.png", "RGB", (32, 32), "grey")
    assert read_portrait(path, 32, 32, told.append, detect=broken).shape == (32, 32, 3)
    assert told == [f"{path} cannot be looked at for a face (out of tensors); it is used as it is"]


def test_what_a_model_cannot_draw_is_told_of(tmp_path: Path) -> None:
    told: list[str] = []
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    ramp = np.repeat(np.arange(32, dtype=np.uint8)[None, :, None] * 8, 32, 0).repeat(3, 2)

    def likeness(picture: np.ndarray) -> float:
        """Of a model that draws what is smooth."""
        return 30.0 - float(np.abs(np.diff(picture.astype(int), axis=1)).mean()) / 4

    check_portrait(ramp, "ramp.png", told.append, likeness, [ramp])
    check_portrait(noise, "noise.png", told.append, likeness, [])
    assert not told
    check_portrait(noise, "noise.png", told.append, likeness, [ramp, ramp])
    assert len(told) == 1 and told[0].startswith("noise.png is unlike what the model learned from")
    check_portrait(np.full_like(noise, 7), "wall.png", told.append, likeness, [])
    assert len(told) == 2 and "of one colour nearly all over, and shows no face" in told[1]


@pytest.mark.parametrize(
    ("data", "told"),
    [(None, "no portrait at"), (b"", "is empty"), (b"no picture", "cannot be read as a picture")],
)
def test_what_is_no_picture(tmp_path: Path, data: bytes | None, told: str) -> None:
    if data is not None:
        (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(SourceError, match=told):
        read_portrait(tmp_path / "a.png", 32, 32, print)


def test_broken_tiny_and_huge_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "cut.png", "RGB", (200, 200), "red")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SourceError, match="cannot be read as a picture"):
        read_portrait(path, 32, 32, print)
    with pytest.raises(SourceError, match="too small for a portrait, 8x40"):
        read_portrait(save(tmp_path / "small.png", "RGB", (8, 40), "red"), 32, 32, print)
    monkeypatch.setattr("player.portraits.LARGEST", 1000)
    with pytest.raises(SourceError, match="too large, 40x40"):
        read_portrait(save(tmp_path / "large.png", "RGB", (40, 40), "red"), 32, 32, print)
