"""Every kind of image file against the pixels it must give, and every refusal against its reason."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile

from querist.data.images import decode as module
from querist.data.images.decode import (
    SUFFIXES,
    Refused,
    TooLargeHere,
    decode,
    opened,
    readable_formats,
    recognise,
    strictly,
)

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)


def encoded(image, kind="PNG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def of(array, mode=None, kind="PNG", **settings):
    image = Image.fromarray(array)
    return encoded(image.convert(mode) if mode else image, kind, **settings)


def grey_rgb(values):
    return np.repeat(values[..., None], 3, axis=2)


class TestModes:
    def test_colour_is_as_it_is(self):
        assert (decode(of(COLOUR)) == COLOUR).all()

    def test_grey_is_repeated(self):
        assert (decode(of(GREY)) == grey_rgb(GREY)).all()

    def test_one_bit_is_black_and_white(self):
        assert (decode(of(GREY > 100)) == grey_rgb(np.where(GREY > 100, 255, 0))).all()

    def test_a_palette_is_looked_up(self):
        image = Image.fromarray(COLOUR).quantize(16)
        assert (decode(encoded(image)) == np.asarray(image.convert("RGB"))).all()
        assert (decode(encoded(image, "GIF")) == np.asarray(image.convert("RGB"))).all()

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    def test_transparency_is_laid_on_white(self, kind):
        alpha = RNG.integers(0, 256, (6, 9, 1)).astype(np.uint8)
        alpha[0], alpha[1] = 0, 255
        data = of(np.concatenate([COLOUR, alpha], axis=2), kind=kind, **({"lossless": True} if kind == "WEBP" else {}))
        mixed = (COLOUR.astype(float) * alpha + 255.0 * (255 - alpha)) / 255
        seen = decode(data)
        assert seen[0].min() == 255
        assert (seen[1] == COLOUR[1]).all()
        assert np.abs(seen - mixed).max() <= 1

    def test_transparency_of_grey_and_of_one_colour(self):
        alpha = RNG.integers(0, 256, (6, 9)).astype(np.uint8)
        mixed = (GREY.astype(float) * alpha + 255.0 * (255 - alpha)) / 255
        assert np.abs(decode(of(np.stack([GREY, alpha], axis=2))) - grey_rgb(mixed)).max() <= 1
        clear = decode(of(COLOUR, transparency=tuple(COLOUR[2, 3].tolist())))
        assert (clear[2, 3] == 255).all()
        assert (clear[0] == COLOUR[0]).all()
        palette = Image.fromarray(COLOUR).quantize(8)
        shown = decode(encoded(palette, transparency=3))
        assert (shown[np.asarray(palette) == 3] == 255).all()
        assert (shown == np.asarray(palette.convert("RGB")))[np.asarray(palette) != 3].all()

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_cmyk_becomes_the_colours_it_came_from(self, kind):
        flat = np.full((16, 16, 3), (200, 60, 90), np.uint8)
        seen = decode(of(flat, "CMYK", kind))
        assert np.abs(seen.astype(int) - flat).max() <= 6

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
    def test_16_bits_are_scaled_alike_in_every_image(self, kind):
        values = RNG.integers(0, 65536, (6, 9)).astype(np.uint16)
        values[0, :3] = 0, 257, 65535
        expected = np.floor(values / 257 + 0.5).astype(np.uint8)
        assert (decode(of(values, kind=kind)) == grey_rgb(expected)).all()
        dark = (values // 200).astype(np.uint16)  # not stretched to the full range
        assert decode(of(dark, kind=kind)).max() == round(dark.max() / 257)

    def test_big_endian_16_bits(self):
        raw = struct.pack(">4H", 0, 257, 40_000, 65535)
        image = Image.frombytes("I;16B", (2, 2), raw)
        assert decode(encoded(image, "TIFF"))[..., 0].tolist() == [[0, 1], [156, 255]]

    def test_floating_point_is_0_to_1_and_integers_are_16_bits(self):
        values = np.linspace(0, 1, 54, dtype=np.float32).reshape(6, 9)
        assert (decode(of(values, kind="TIFF")) == grey_rgb(np.floor(values * 255 + 0.5))).all()
        numbers = np.arange(54, dtype=np.int32).reshape(6, 9) * 1000
        assert (decode(of(numbers, kind="TIFF")) == grey_rgb(np.floor(numbers / 257 + 0.5))).all()

    def test_the_first_frame_counts(self):
        frames = [Image.fromarray(np.full((5, 7), level, np.uint8)) for level in (10, 200)]
        for kind in ("GIF", "TIFF", "PNG"):
            data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
            assert (decode(data) == 10).all()

    def test_lab_and_ycbcr(self):
        flat = Image.new("RGB", (16, 16), (120, 130, 140))
        assert np.abs(decode(encoded(flat.convert("YCbCr"), "JPEG")).astype(int) - (120, 130, 140)).max() <= 2
        assert decode(encoded(Image.new("LAB", (4, 4), (128, 0, 0)), "TIFF")).shape == (4, 4, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind, orientation):
    # What an upright scene looks like as stored, by the definition of the tag: where row 0 and column 0 lie.
    upright = np.zeros((24, 40, 3), np.uint8)
    upright[:12, :20], upright[:12, 20:], upright[12:, :20] = 240, 160, 80
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright, 1), 7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = decode(of(np.ascontiguousarray(stored), kind=kind, exif=exif))
    assert seen.shape == upright.shape
    assert np.abs(seen.astype(int) - upright)[4:8].mean() < 8
    assert np.abs(seen.astype(int) - upright).mean() < 8


def test_damaged_exif_counts_as_upright():
    assert (decode(of(COLOUR, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")) == COLOUR).all()


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "empty: the file has 0 bytes"),
            (b"<html>not found</html>", "not an image"),
            (b"PK\x03\x04" + bytes(100), "not an image"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
            (b"\x89PNG\r\n\x1a\n", "damaged: it begins like an image"),
            (of(COLOUR, kind="JPEG")[:20], "cut short|damaged"),
        ],
    )
    def test_what_is_no_image(self, data, reason):
        with pytest.raises(Refused, match=reason):
            decode(data)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "SGI", "QOI"])
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_half_images_of_every_format(self, kind, share):
        if kind not in readable_formats():
            pytest.skip(f"this Pillow does not read {kind}")
        large = Image.fromarray(COLOUR).resize((90, 60), Image.Resampling.BICUBIC)
        whole = encoded(large, kind)
        assert decode(whole).shape[2] == 3
        with pytest.raises(Refused, match=r"^(cut short|damaged)|begins like an image|not an image" if kind == "ICO"
                           else r"^(cut short|damaged)"):  # fmt: skip
            decode(whole[: int(len(whole) * share)])

    def test_a_flipped_bit_in_a_png(self):
        whole = encoded(Image.fromarray(COLOUR).resize((90, 60)))
        for place in range(len(whole) // 4, len(whole) - 12, 97):
            broken = bytearray(whole)
            broken[place] ^= 1
            with pytest.raises(Refused):
                decode(bytes(broken))

    def test_values_without_a_rule(self):
        numbers = np.full((3, 4), 70_000, np.int32)
        with pytest.raises(Refused, match="integer pixels from 70000 to 70000; the scale must be 0 to 65535"):
            decode(of(numbers, kind="TIFF"))
        with pytest.raises(Refused, match="integer pixels from -5"):
            decode(of(np.full((3, 4), -5, np.int32), kind="TIFF"))
        for bad, reason in ((np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (1.5, "from 0.0 to 1.5")):
            values = np.zeros((3, 4), np.float32)
            values[1, 1] = bad
            with pytest.raises(Refused, match=reason):
                decode(of(values, kind="TIFF"))

    @pytest.mark.parametrize(("width", "height"), [(10_000, 9_000), (60_000, 50_000)])
    def test_bombs_are_refused_by_their_header(self, width, height):
        data = bytearray(of(GREY))
        data[16:24] = struct.pack(">II", width, height)
        import zlib

        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
        with strictly(), pytest.raises(Refused, match=r"^too large: .*89,478,485"):
            decode(bytes(data))
        with strictly(), pytest.raises(Refused, match=r"^too large"):
            recognise(io.BytesIO(bytes(data)))

    def test_the_size_limit_is_exact(self, monkeypatch):
        monkeypatch.setattr(module, "MOST_PIXELS", 54)
        assert decode(of(GREY)).shape == (6, 9, 3)
        monkeypatch.setattr(module, "MOST_PIXELS", 53)
        with pytest.raises(Refused, match="9 x 6 pixels; at most 53"):
            decode(of(GREY))


def test_large_images_are_decoded_only_where_they_may(monkeypatch):
    monkeypatch.setattr(module, "LARGE", 53)
    assert (decode(of(COLOUR)) == COLOUR).all()
    with pytest.raises(TooLargeHere), opened(of(COLOUR), large=False):
        pass
    monkeypatch.setattr(module, "LARGE", 54)
    with opened(of(COLOUR), large=False) as image:
        assert (np.asarray(image) == COLOUR).all()


def test_half_images_are_refused_though_another_library_allows_them(monkeypatch):
    half = encoded(Image.fromarray(COLOUR).resize((90, 60)), "JPEG")[:-300]
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert decode(half).shape == (60, 90, 3)  # so the setting matters
    with strictly(), pytest.raises(Refused, match="cut short"):
        decode(half)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_recognising_reads_little_and_rewinds(tmp_path):
    stream = io.BytesIO(of(COLOUR))
    recognise(stream)
    assert stream.tell() == 0
    with pytest.raises(Refused, match="not an image"):
        recognise(io.BytesIO(bytes(5000)))


def test_names_of_image_files_cover_what_is_read():
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in readable_formats()}
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp", ".gif"} <= SUFFIXES
    assert known - SUFFIXES <= {
        ".pnm", ".pfm", ".bw", ".rgba", ".avifs", ".icb", ".jpc", ".jpf", ".j2c"
    }  # fmt: skip


def test_pillow_warns_of_nothing_while_reading_strictly():
    half = encoded(Image.fromarray(COLOUR), "TIFF")[:60]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with strictly(), pytest.raises(Refused):
            decode(half)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "SGI", "QOI"])
def test_whatever_is_wrong_it_is_refused_or_read_and_never_fatal(kind):
    rng = np.random.default_rng(len(kind))
    whole = encoded(Image.fromarray(COLOUR).resize((48, 36), Image.Resampling.BICUBIC), kind)
    outcomes = set()
    with strictly():
        for _ in range(150):
            broken = bytearray(whole)
            for place in rng.integers(0, min(len(whole), int(rng.choice([60, 300, 10**6]))), rng.integers(1, 6)):
                broken[place] = rng.integers(256)
            try:
                outcomes.add(decode(bytes(broken)).ndim)
            except Refused:
                outcomes.add("refused")
    assert outcomes <= {3, "refused"}
    assert "refused" in outcomes
