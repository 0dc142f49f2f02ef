from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from edtalk_core.errors import PictureError
from edtalk_core.media.picture import (
    BACKGROUND,
    images_to_pictures,
    picture_to_image,
    pictures_to_images,
    read_picture,
    write_picture,
)


def scene(height: int = 40, width: int = 64) -> np.ndarray:
    """(H, W, 3) uint8, smooth, with every corner different, so that turns and mirrors show."""
    y, x = np.mgrid[0:1:height * 1j, 0:1:width * 1j]  # fmt: skip
    return (np.stack([x, y, (1 - x) * (1 - y)], -1) * 255).round().astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(pixels: np.ndarray) -> bytes:
    """A PNG of 8 or 16 bits, grey, RGB or RGBA, written by hand: Pillow does not write them all."""
    height, width = pixels.shape[:2]
    bits = 8 * pixels.dtype.itemsize
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[1 if pixels.ndim == 2 else pixels.shape[2]]
    rows = pixels.astype(f">u{pixels.dtype.itemsize}").reshape(height, -1)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def as_stored(picture: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera that writes this EXIF orientation stores what should be seen as `picture`."""
    return {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }[orientation](picture)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_tag_is_applied(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(as_stored(scene(), orientation)))
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    found = read_picture(encoded(stored, kind, exif=exif, **options))
    assert found.shape == scene().shape
    assert np.abs(found.astype(int) - scene()).max() <= (8 if kind == "JPEG" else 0)


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("PPM", {}, 0),
        ("TGA", {}, 0),
        ("ICO", {"sizes": [(64, 40)]}, 0),
        ("JPEG", {"quality": 95, "subsampling": 0}, 8),
        ("JPEG", {"quality": 95, "progressive": True, "subsampling": 0}, 8),
        ("JPEG2000", {}, 0),
        ("AVIF", {"quality": 95}, 12),
    ],
)
def test_every_format_as_path_bytes_and_image(tmp_path, kind, options, tolerance):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {kind}")
    data = encoded(Image.fromarray(scene()), kind, **options)
    (tmp_path / "ä 図 'x.dat").write_bytes(data)
    for source in (tmp_path / "ä 図 'x.dat", str(tmp_path / "ä 図 'x.dat"), data, Image.open(io.BytesIO(data))):
        found = read_picture(source)
        assert found.dtype == np.uint8
        assert found.flags["C_CONTIGUOUS"]
        assert found.flags["WRITEABLE"]
        assert found.shape == scene().shape
        assert np.abs(found.astype(int) - scene()).max() <= tolerance


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB", "RGBA", "LA", "PA", "RGBX", "RGBa"])
def test_every_colour_mode_looks_the_same(mode):
    grey = np.zeros((32, 32, 3), np.uint8)
    grey[:, 16:] = 255
    image = Image.fromarray(grey)
    if mode == "LAB":
        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    elif mode == "PA":
        image = image.convert("L").convert("P").convert("PA")
    elif mode == "RGBa":
        image = image.convert("RGBA").convert("RGBa")
    else:
        image = image.convert(mode)
    assert np.abs(read_picture(image).astype(int) - grey).max() <= 2


def test_palette_with_a_transparent_colour():
    image = Image.fromarray(scene()).quantize(16)
    inside = np.asarray(image) == 3
    expected = np.asarray(image.convert("RGB")).copy()
    expected[inside] = BACKGROUND
    for kind in ("PNG", "GIF"):
        np.testing.assert_array_equal(read_picture(encoded(image, kind, transparency=3)), expected)


def test_one_transparent_colour_of_a_png():
    pixels = np.full((20, 20, 3), 200, np.uint8)
    pixels[:, 10:] = (10, 20, 30)
    found = read_picture(encoded(Image.fromarray(pixels), "PNG", transparency=(10, 20, 30)))
    assert (found[:, :10] == 200).all()
    assert (found[:, 10:] == BACKGROUND).all()


@pytest.mark.parametrize("source", ["png", "array", "torch", "float"])
def test_alpha_shows_the_background(source):
    pixels = np.dstack([scene(), np.repeat(np.linspace(0, 255, 64).round().astype(np.uint8)[None], 40, 0)])
    share = pixels[..., 3:] / 255
    expected = scene() * share + np.array(BACKGROUND) * (1 - share)
    given = {
        "png": lambda: encoded(Image.fromarray(pixels), "PNG"),
        "array": lambda: pixels,
        "torch": lambda: torch.from_numpy(pixels),
        "float": lambda: pixels / 255,
    }[source]()
    assert np.abs(read_picture(given) - expected).max() <= 1


def test_16_bits_keep_their_scale():
    grey = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (40, 1))
    colour = np.stack([grey, grey[:, ::-1], grey // 2], -1)
    for data, expected in [
        (png(grey), np.stack([grey] * 3, -1)),
        (png(colour), colour),
        (png(np.dstack([colour, np.full_like(grey, 65535)])), colour),
        (encoded(Image.fromarray(grey), "TIFF"), np.stack([grey] * 3, -1)),
        (b"P5 64 40 65535\n" + grey.astype(">u2").tobytes(), np.stack([grey] * 3, -1)),
        (colour, colour),
    ]:
        assert np.abs(read_picture(data) - expected / 257).max() < 1


def test_a_picture_of_32_bit_numbers_is_8_or_16_bits_by_its_range():
    values = np.tile(np.arange(64, dtype=np.int32) * 4, (40, 1))
    np.testing.assert_array_equal(read_picture(Image.fromarray(values))[..., 0], values)
    np.testing.assert_allclose(read_picture(Image.fromarray(values * 257))[..., 0], values, atol=1)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ((200, 30, 40), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert (read_picture(data) == (200, 30, 40)).all()


def wide_profile() -> bytes:
    """sRGB with its red and green primaries swapped: what a colour profile does cannot be overlooked."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_colour_profile_is_converted_to_srgb(mode):
    image = Image.fromarray(scene()).convert(mode)
    found = read_picture(encoded(image, "PNG", icc_profile=wide_profile()))
    expected = np.asarray(image.convert("RGB"))[..., [1, 0, 2]]
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_an_srgb_profile_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(read_picture(encoded(Image.fromarray(scene()), "PNG", icc_profile=profile)), scene())


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_damaged_or_unfitting_profile_is_left_out(mode, caplog):
    image = Image.new(mode, (32, 32), (0,) * len(mode))
    profile = wide_profile() if mode == "CMYK" else b"no profile at all"
    found = read_picture(encoded(image, "TIFF", icc_profile=profile))
    assert (found == (255 if mode == "CMYK" else 0)).all()
    assert "profile" in caplog.text


def test_a_damaged_orientation_tag_is_left_out():
    data = encoded(Image.fromarray(scene()), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09garbage", quality=95)
    assert read_picture(data).shape == scene().shape


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(scene(), id="uint8"),
        pytest.param(scene() / 255, id="float64"),
        pytest.param((scene() / 255).astype(np.float32) * 1.0001, id="float32_with_overshoot"),
        pytest.param(torch.from_numpy(scene() / 255).requires_grad_(), id="torch_with_gradient"),
        pytest.param(torch.from_numpy(scene() / 255).half(), id="torch_half"),
        pytest.param(scene().astype(np.uint16) * 257, id="uint16"),
        pytest.param(np.asfortranarray(scene()), id="not_contiguous"),
    ],
)
def test_arrays_of_every_kind(pixels):
    np.testing.assert_array_equal(read_picture(pixels), scene())


def test_grey_arrays_become_rgb():
    grey = scene()[..., 0]
    for pixels in (grey, grey[..., None], torch.from_numpy(grey)):
        np.testing.assert_array_equal(read_picture(pixels), np.stack([grey] * 3, -1))


@pytest.mark.parametrize("size", [(16, 16), (8192, 16), (16, 8192)])
def test_the_smallest_and_the_largest(size):
    assert read_picture(encoded(Image.new("L", size, 77), "PNG")).shape == (size[1], size[0], 3)


def test_real_portraits(shared):
    for name, shape in [
        ("edtalk_identity_source.jpg", (256, 256, 3)),
        ("sadtalker_art_0.png", None),
        ("musetalk_monalisa.png", None),
    ]:
        found = read_picture(shared / "data" / "portraits" / name)
        assert found.std() > 20
        assert shape is None or found.shape == shape


def test_what_was_written_is_read_back(tmp_path):
    write_picture(tmp_path / "a.png", scene())
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), scene())
    for name in ("a.jpg", "a.JPEG"):
        write_picture(tmp_path / name, scene())
        assert np.abs(read_picture(tmp_path / name).astype(int) - scene()).max() <= 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.JPEG", "a.jpg", "a.png"]


def test_an_older_file_is_replaced(tmp_path):
    (tmp_path / "a.png").write_text("old")
    write_picture(str(tmp_path / "a.png"), scene())
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), scene())


def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(PictureError, match="No space left"):
        write_picture(tmp_path / "a.png", scene())
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "picture", "word"),
    [
        pytest.param("a.gif", scene(), "png", id="gif"),
        pytest.param("a", scene(), "png", id="no_suffix"),
        pytest.param("no/folder/a.png", scene(), "folder", id="no_folder"),
        pytest.param("a.png", scene() / 255, "uint8", id="float"),
        pytest.param("a.png", scene()[..., 0], "uint8", id="grey"),
        pytest.param("a.png", scene()[:0], "no pixels", id="no_pixels"),
        pytest.param("a.jpg", torch.from_numpy(scene()), "uint8", id="torch"),
        pytest.param("a.jpg", None, "uint8", id="none"),
    ],
)
def test_bad_writes(tmp_path, name, picture, word):
    with pytest.raises(PictureError, match=word):
        write_picture(tmp_path / name, picture)
    assert not list(tmp_path.iterdir())


def test_pictures_to_images_and_back_are_exact():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image = picture_to_image(picture, 64)
    assert image.shape == (1, 3, 64, 64)
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    assert -1 <= image.min() < -0.98
    assert 0.98 < image.max() <= 1
    np.testing.assert_allclose(image[0, :, 5, 9], picture[5, 9] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(images_to_pictures(image)[0], picture)


@pytest.mark.parametrize("size", [32, 256])
def test_a_picture_of_another_size_is_resized(size):
    picture = scene(100, 100)
    image = picture_to_image(picture, size)
    assert image.shape == (1, 3, size, size)
    expected = scene(size, size)
    assert np.abs(images_to_pictures(image)[0].astype(int) - expected).max() <= 6


def test_resizing_does_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    assert picture_to_image(stripes, 64)[..., 4:-4].abs().max() < 0.1


def test_images_are_rounded_and_clipped():
    image = torch.tensor([-5.0, -1.0, -0.999, 0.0, 0.5, 1.0, 7.0]).view(1, 1, 1, 7).repeat(2, 3, 1, 1)
    found = images_to_pictures(image)
    assert found.shape == (2, 1, 7, 3)
    assert found.flags["C_CONTIGUOUS"]
    assert found[0, 0, :, 1].tolist() == [0, 0, 0, 128, 191, 255, 255]
    np.testing.assert_array_equal(images_to_pictures(image.bfloat16()), found)


@pytest.mark.parametrize(
    ("picture", "word"),
    [(scene(), "square"), (scene(32, 32) / 255, "uint8"), (scene(32, 32)[None], "uint8"), (None, "uint8")],
    ids=["not_square", "float", "batch", "none"],
)
def test_bad_pictures_for_the_model(picture, word):
    with pytest.raises(PictureError, match=word):
        picture_to_image(picture, 32)


@pytest.mark.parametrize("shape", [(5, 7, 3), (2, 5, 7, 3), (2, 4, 5, 7, 3), (0, 5, 7, 3)])
def test_pictures_of_any_batch_become_images(shape):
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    images = pictures_to_images(pictures)
    assert (images.shape, images.dtype) == ((*shape[:-3], 3, *shape[-3:-1]), torch.float32)
    assert images.is_contiguous()
    np.testing.assert_array_equal(images.numpy(), np.moveaxis(pictures.astype(np.float32) / 127.5 - 1, -1, -3))
    if len(shape) == 4:
        np.testing.assert_array_equal(images_to_pictures(images), pictures)


@pytest.mark.parametrize("pictures", [np.zeros((5, 7, 3)), np.zeros((3, 5, 7), np.uint8), np.zeros((7, 3), np.uint8)])
def test_other_arrays_are_no_pictures(pictures):
    with pytest.raises(PictureError, match="uint8 arrays of the shape"):
        pictures_to_images(pictures)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 8, 3), (1, 1, 8, 8)])
def test_bad_images_from_the_model(shape):
    with pytest.raises(PictureError, match=r"\(T, 3, H, W\)"):
        images_to_pictures(torch.zeros(shape))


def huge_png(width: int, height: int) -> bytes:
    """A PNG that says it is larger than it is."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return GOOD_PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + GOOD_PNG[33:]


GOOD_PNG = png(scene())
BAD_FILES = {
    "empty": (b"", "empty"),
    "text": (b"these are words\n" * 50, "not a picture"),
    "noise": (np.random.default_rng(0).bytes(5000), "not a picture"),
    "a_video": (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2" + bytes(500), "not a picture"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500), "HEIC"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\nshowpage\n", "not a picture"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>', "not a picture"),
    "signature_only": (GOOD_PNG[:8], "not a picture"),
    "cut_png": (GOOD_PNG[: len(GOOD_PNG) // 2], "cut off"),
    "cut_jpeg": (encoded(Image.fromarray(scene(400, 400)), "JPEG")[:2000], "cut off"),
    "cut_webp": (encoded(Image.fromarray(scene(400, 400)), "WEBP")[:500], "start is damaged|cut off"),
    "cut_gif": (encoded(Image.fromarray(scene(400, 400)), "GIF")[:1500], "cut off"),
    "damaged_png": (GOOD_PNG[:60] + bytes(200) + GOOD_PNG[260:], "damaged"),
    "15_px": (png(scene(15, 40)), "40 x 15"),
    "1_px": (png(scene(1, 1)), "1 x 1"),
    "8193_px": (png(np.zeros((16, 8193), np.uint8)), "8193 x 16"),
    "bomb": (huge_png(60000, 60000), "too large"),
    "worse_bomb": (huge_png(2**31 - 1, 2**31 - 1), "too large"),
    "wholly_transparent": (png(np.zeros((32, 32, 4), np.uint8)), "transparent"),
    "float_tiff_0_255": (encoded(Image.fromarray(scene()[..., 0].astype(np.float32)), "TIFF"), r"\[0, 1\]"),
    "negative_tiff": (encoded(Image.fromarray(np.full((32, 32), -5, np.int32)), "TIFF"), "-5"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(tmp_path, case):
    data, word = BAD_FILES[case]
    path = tmp_path / "portrait.png"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=word) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)
    if data:
        with pytest.raises(PictureError, match=word):
            read_picture(data)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(PictureError, match="no file"):
        read_picture(tmp_path / "missing.png")
    with pytest.raises(PictureError, match="folder"):
        read_picture(tmp_path)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        pytest.param(np.zeros((0, 0, 3), np.uint8), "no pixels", id="zero_size"),
        pytest.param(np.zeros((8, 8, 3), np.uint8), "8 x 8", id="too_small"),
        pytest.param(np.zeros((3, 64, 64), np.uint8), "channels last", id="channels_first"),
        pytest.param(np.zeros((1, 64, 64, 3), np.uint8), "batch", id="batch"),
        pytest.param(np.zeros((64, 64, 2), np.uint8), "shape", id="two_channels"),
        pytest.param(np.zeros(64, np.uint8), "shape", id="one_dimension"),
        pytest.param(np.full((64, 64, 3), 128.0), r"\[0, 1\]", id="floats_to_255"),
        pytest.param(np.full((64, 64, 3), -1.0), r"\[0, 1\]", id="floats_from_-1"),
        pytest.param(np.full((64, 64, 3), np.nan), "nan", id="nan"),
        pytest.param(np.zeros((64, 64, 3), np.int64), "int64", id="int64"),
        pytest.param(np.zeros((64, 64, 3), bool), "bool", id="bool"),
        pytest.param(Image.new("RGB", (0, 0)), "0 x 0", id="pil_zero_size"),
        pytest.param(b"", "not a picture", id="no_bytes"),
        pytest.param(None, "path", id="none"),
        pytest.param(7, "path", id="number"),
        pytest.param([Path("a.png")], "path", id="list"),
    ],
)
def test_bad_sources(source, word):
    with pytest.raises(PictureError, match=word):
        read_picture(source)
