import errno
import json
import logging
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from genever_plugins.data.image_file import read_image
from genever_plugins.data.image_folder import ImageFolder
from PIL import Image


def plain(file, colour=(255, 0, 0), size=(8, 8), mode="RGB", **how):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(file, **how)
    return file


def folder_of(root, *names):
    for number, name in enumerate(names):
        plain(root / name, colour=(number, 0, 0))
    return root


def part(root, **settings):
    return ImageFolder(**{"path": str(root), "height": 8, "width": 8, **settings})


def all_of(root, split="train", **settings):
    dataset = part(root, **settings).build(split)
    return dataset.fetch(range(len(dataset)))


def names(samples):
    return [os.path.basename(file) for file in samples.extras["file"]]


def only(root, **settings):
    """The one image of a folder, in 0 .. 255."""
    return ((all_of(root, validation_share=0, **settings).images[0] + 1) * 127.5).round()


# Splits


def test_image_folder_reads_the_splits_that_folders_name(tmp_path):
    folder_of(tmp_path, "train/a.png", "train/b.png", "validation/c.png", "test/d.png")
    assert names(all_of(tmp_path)) == ["a.png", "b.png"]
    assert names(all_of(tmp_path, "validation")) == ["c.png"]


def test_image_folder_validates_on_the_test_folder_where_there_is_no_other(tmp_path):
    folder_of(tmp_path, "train/a.png", "train/b.png", "test/d.png")
    assert names(all_of(tmp_path, "validation")) == ["d.png"]


@pytest.mark.parametrize("inside", ["", "train/"])
def test_image_folder_holds_out_a_share_that_stays_the_same(tmp_path, inside):
    folder_of(tmp_path, *(f"{inside}{number:02}.png" for number in range(20)))
    train, held = names(all_of(tmp_path, validation_share=0.2)), names(all_of(tmp_path, "validation", validation_share=0.2))
    assert len(held) == 4
    assert not set(train) & set(held)
    assert sorted(train + held) == [f"{number:02}.png" for number in range(20)]
    assert held != sorted(train + held)[:4]
    assert held == names(all_of(tmp_path, "validation", validation_share=0.2))


def test_image_folder_always_leaves_something_to_learn_from_and_to_validate_on(tmp_path):
    folder_of(tmp_path, "a.png", "b.png")
    assert [len(part(tmp_path, validation_share=share).build("train")) for share in (0, 0.01, 0.99)] == [2, 1, 1]
    assert names(all_of(tmp_path, "validation", validation_share=0)) == ["a.png", "b.png"]


# Labels and captions


def test_image_folder_takes_labels_from_folders_alike_in_both_splits(tmp_path):
    folder_of(tmp_path, "train/cat/1.png", "train/dog/2.png", "train/ant/3.png", "validation/dog/4.png")
    train, validation = all_of(tmp_path), all_of(tmp_path, "validation")
    assert dict(zip(names(train), train.labels.tolist(), strict=True)) == {"3.png": 0, "1.png": 1, "2.png": 2}
    assert validation.labels.tolist() == [2]
    assert part(tmp_path).build("validation").spec.num_classes == 3


def test_image_folder_shows_an_image_of_every_class_first(tmp_path):
    folder_of(
        tmp_path, *(f"{split}/{name}.png" for split in ("train", "test") for name in ("a/1", "a/2", "a/3", "b/4", "c/5"))
    )
    (tmp_path / "train/c/6.png").write_bytes((tmp_path / "train/c/5.png").read_bytes())
    assert names(all_of(tmp_path)) == ["1.png", "4.png", "5.png", "2.png", "6.png", "3.png"]
    assert all_of(tmp_path, "validation").labels.tolist() == [0, 1, 2, 0, 0]


@pytest.mark.parametrize("files", [("a.png", "b.png"), ("one/a.png", "one/b.png"), ("one/a.png", "two/b.png", "c.png")])
def test_image_folder_has_no_labels_where_folders_do_not_tell_classes_apart(tmp_path, files):
    folder_of(tmp_path, *files)
    assert all_of(tmp_path, validation_share=0).labels is None
    assert part(tmp_path).build("train").spec.num_classes is None


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_image_folder_reads_captions(tmp_path, kind):
    folder_of(tmp_path, "b.png", "sub/a.png")
    rows = [{"file_name": "sub/a.png", "text": "an apple, green\nand round"}, {"file_name": "b.png", "text": "ein Bär"}]
    if kind == "jsonl":
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n"
    else:
        text = "file_name,text\n" + "\n".join(f'{row["file_name"]},"{row["text"]}"' for row in rows)
    (tmp_path / f"metadata.{kind}").write_text(text, encoding="utf-8-sig")
    samples = all_of(tmp_path, validation_share=0)
    assert names(samples) == ["b.png", "a.png"]
    assert samples.captions == ("ein Bär", "an apple, green\nand round")
    assert part(tmp_path).build("train").spec.captions


def test_image_folder_reads_metadata_beside_the_images_of_each_split(tmp_path):
    folder_of(tmp_path, "train/a.png", "test/a.png")
    for split in ("train", "test"):
        (tmp_path / split / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "text": split}))
    assert all_of(tmp_path).captions == ("train",)
    assert all_of(tmp_path, "validation").captions == ("test",)


def test_image_folder_reads_another_column_or_none(tmp_path):
    folder_of(tmp_path, "a.png")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "prompt": "hello"}))
    assert all_of(tmp_path, caption_column="prompt").captions == ("hello",)
    assert all_of(tmp_path, caption_column=None).captions is None


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "metadata.jsonl",
            '{"file_name": "a.png", "prompt": "x"}',
            r"metadata\.jsonl:1: there is no 'text' in 'file_name', 'prompt'",
        ),
        ("metadata.jsonl", '{"text": "x"}', r"metadata\.jsonl:1: there is no 'file_name' in 'text'"),
        ("metadata.jsonl", '{"file_name": "a.png", "text": "x"}\n{oops', r"metadata\.jsonl:2: this is not JSON"),
        ("metadata.jsonl", "[1]", r"metadata\.jsonl:1: this is not an object but \[1\]"),
        ("metadata.csv", "file_name,text\n,x", r"metadata\.csv:2: there is no 'file_name'"),
        ("metadata.csv", b"file_name,text\na.png,\xff", r"metadata\.csv cannot be read: .* Write it as UTF-8"),
        ("metadata.jsonl", '{"file_name": "../a.png", "text": "x"}', r"file_name '\.\./a\.png' leads out of the folder"),
        ("metadata.jsonl", '{"file_name": "/etc/a.png", "text": "x"}', r"file_name '/etc/a\.png' leads out of the folder"),
        ("metadata.csv", "file_name,text\nsub/../../a.png,x", r"metadata\.csv:2: file_name .* leads out of the folder"),
    ],
)
def test_image_folder_refuses_wrong_metadata_with_its_file_and_line(tmp_path, file, text, message):
    folder_of(tmp_path / "images", "a.png")
    plain(tmp_path / "a.png")
    (tmp_path / "images" / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        part(tmp_path / "images").build("train")


# Pixels


def test_image_folder_covers_and_crops_the_centre(tmp_path):
    stripes = np.zeros((10, 30, 3), dtype=np.uint8)
    stripes[:, :10], stripes[:, 10:20], stripes[:, 20:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    Image.fromarray(stripes).save(tmp_path / "wide.png")
    square = only(tmp_path, height=20, width=20)
    assert square.shape == (3, 20, 20)
    assert torch.equal(square[:, 10, 10], torch.tensor([0.0, 255, 0]))
    assert square[0].max() < 255
    assert only(tmp_path, height=5, width=15)[2, 2, -1] == 255


def test_image_folder_resizes_with_antialiasing(tmp_path):
    Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)).save(tmp_path / "chequered.png")
    assert (only(tmp_path, channels=1) - 127.5).abs().max() <= 2


ODD = {
    "RGBA": ((200, 0, 0, 0), "png", (255, 255, 255)),
    "LA": ((0, 128), "png", (127, 127, 127)),
    "L": (77, "png", (77, 77, 77)),
    "1": (1, "png", (255, 255, 255)),
    "P": (0, "gif", (0, 0, 0)),
    "CMYK": ((255, 0, 0, 0), "tiff", (0, 255, 255)),
    "I;16": (257 * 60, "png", (60, 60, 60)),
    "I": (65535, "tiff", (255, 255, 255)),
    "F": (0.2, "tiff", (51, 51, 51)),
}


@pytest.mark.parametrize("mode", ODD)
def test_image_folder_reads_odd_modes(tmp_path, mode):
    colour, ending, seen = ODD[mode]
    plain(tmp_path / f"odd.{ending}", colour, mode=mode)
    expected = torch.tensor(seen, dtype=torch.float32).view(3, 1, 1).expand(3, 8, 8)
    torch.testing.assert_close(only(tmp_path), expected, atol=1, rtol=0)
    assert only(tmp_path, channels=1).shape == (1, 8, 8)


def test_image_folder_lays_a_transparent_palette_on_white(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "clear.png", transparency=1)
    assert (only(tmp_path) == 255).all()


def test_image_folder_turns_photographs_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by 90 degrees clockwise to see it as it was taken.
    sideways = np.zeros((8, 8, 3), dtype=np.uint8)
    sideways[:, :4] = 255
    Image.fromarray(sideways).save(tmp_path / "photo.png", exif=exif)
    upright = only(tmp_path)
    assert (upright[:, :4] == 255).all()
    assert (upright[:, 4:] == 0).all()


def test_image_folder_reads_one_pixel_and_takes_upper_case_endings(tmp_path):
    plain(tmp_path / "DOT.PNG", (9, 8, 7), size=(1, 1))
    assert torch.equal(only(tmp_path)[:, 3, 3], torch.tensor([9.0, 8, 7]))


def test_image_folder_leaves_out_hidden_files_and_what_is_no_image(tmp_path):
    folder_of(tmp_path, "a.png", ".b.png", ".hidden/c.png")
    (tmp_path / "notes.txt").write_text("hello")
    assert names(all_of(tmp_path)) == ["a.png"]


@pytest.mark.parametrize("memory_mib", [0, 100])
def test_image_folder_gives_the_same_samples_from_memory_and_from_files(tmp_path, memory_mib):
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (13, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    found = part(tmp_path, memory_mib=memory_mib, validation_share=0).build("train").fetch([4, 1, 4])
    assert torch.equal(found.images[0], found.images[2])
    assert names(found) == ["4.png", "1.png", "4.png"]
    assert torch.equal(found.images, all_of(tmp_path, validation_share=0).images[[4, 1, 4]])


# What cannot be used


def spoil(root):
    """Beside three good images: one cut short, one empty, one that is text, and one far too large to be meant."""
    folder_of(root, "good1.png", "good2.png", "good3.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "cut.jpg")
    (root / "cut.jpg").write_bytes((root / "cut.jpg").read_bytes()[:900])
    (root / "empty.png").write_bytes(b"")
    (root / "text.webp").write_text("no image")
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    size, checksum = struct.pack(">I", 13), struct.pack(">I", zlib.crc32(header))
    (root / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + size + header + checksum + b"\0\0\0\x01IDAT")
    return root


def test_image_folder_skips_damaged_files_and_reports_each(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "genever"):
        samples = all_of(spoil(tmp_path), validation_share=0, max_skipped=4)
    assert names(samples) == ["good1.png", "good2.png", "good3.png"]
    reported = [os.path.basename(record.getMessage().split(":")[0]) for record in caplog.records]
    assert reported == ["cut.jpg", "empty.png", "huge.png", "text.webp"]
    assert "truncated" in caplog.text
    assert "decompression bomb" in caplog.text


def test_image_folder_stops_at_one_damaged_file_too_many_and_names_them(tmp_path):
    message = r"(?s)4 images of the train split cannot be used, and ImageFolder\.max_skipped = 3.*empty\.png: it is no"
    with pytest.raises(ValueError, match=message):
        part(spoil(tmp_path), validation_share=0, max_skipped=3).build("train")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(4))
def test_image_folder_survives_random_damage(tmp_path, seed):
    rng = np.random.default_rng(seed)
    folder_of(tmp_path, "good.png")
    for ending in ("png", "jpg", "gif", "tiff", "webp", "bmp", "ppm"):
        for number in range(8):
            file = tmp_path / f"{number}.{ending}"
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(file)
            whole = bytearray(file.read_bytes())
            for place in rng.integers(0, len(whole), 12):
                whole[place] = rng.integers(0, 256)
            file.write_bytes(whole)
    samples = all_of(tmp_path, validation_share=0, max_skipped=100)
    assert "good.png" in names(samples)
    assert samples.images.isfinite().all()


def test_image_folder_skips_images_below_the_smallest_side(tmp_path):
    plain(tmp_path / "small.png", size=(40, 7))
    plain(tmp_path / "large.png", size=(40, 8))
    assert names(all_of(tmp_path, min_side=8, validation_share=0)) == ["large.png"]
    with pytest.raises(ValueError, match=r"small\.png: its 40 x 7 pixels are below min_side = 8"):
        part(tmp_path, min_side=8, max_skipped=0, validation_share=0).build("train")


def test_image_folder_skips_images_without_a_caption_and_captions_without_an_image(tmp_path):
    folder_of(tmp_path, "a.png", "b.png", "c.png")
    rows = [{"file_name": "a.png", "text": "x"}, {"file_name": "b.png", "text": ""}, {"file_name": "gone.png", "text": "y"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert names(all_of(tmp_path, validation_share=0)) == ["a.png"]
    message = r"(?s)3 images.*b\.png: no metadata file gives it a caption.*gone\.png: there is no such file"
    with pytest.raises(ValueError, match=message):
        part(tmp_path, max_skipped=0, validation_share=0).build("train")


def test_image_folder_names_its_key_where_the_folder_is_wrong(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, problem in {"nowhere": "does not exist", "file": "is not a folder", "empty": "holds no images"}.items():
        with pytest.raises(ValueError, match=rf"ImageFolder\.path = '.*{name}' {problem}"):
            part(tmp_path / name).build("train")


def test_image_folder_of_nothing_but_damage_says_so(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ValueError, match="no image for the train split that can be used"):
        part(tmp_path).build("train")


# Sizes of their own


def test_image_folder_knows_the_size_of_each_image_upright(tmp_path):
    plain(tmp_path / "a.png", size=(40, 7))
    plain(tmp_path / "b.jpg", size=(8, 30))
    turned = Image.new("RGB", (20, 10))
    exif = turned.getexif()
    exif[0x0112] = 6  # Orientation: lies on its side.
    turned.save(tmp_path / "c.jpg", exif=exif)
    assert part(tmp_path, validation_share=0).build("train").sizes() == [(7, 40), (30, 8), (20, 10)]


def test_image_folder_gives_images_at_another_size_resized_to_cover_and_cropped(tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:12] = 255  # The middle half, which is what a square sees of it.
    Image.fromarray(pixels).save(tmp_path / "a.png")
    dataset = part(tmp_path, validation_share=0).build("train")
    assert (dataset.fetch_at([0], height=4, width=4).images > 0.5).all()
    wide = dataset.fetch_at([0], height=8, width=16)
    assert torch.equal((wide.images[0, 0] + 1) * 127.5, torch.from_numpy(pixels[:, :, 0]).float())
    assert names(wide) == ["a.png"]


def test_file_that_the_system_does_not_read_is_not_passed_over(tmp_path, monkeypatch):
    def stale(file):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Image, "open", stale)
    with pytest.raises(OSError, match="Stale file handle"):
        read_image(tmp_path / "a.png", height=2, width=2, channels=3)
