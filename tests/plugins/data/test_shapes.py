import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from genever.slots import VerifiableDataset
from genever_plugins.data.caption import COLOURS, PLACES, SHAPES, SIZES, Group, describe, parse_caption
from genever_plugins.data.drawing import AREA, CENTROID, coverage, draw
from genever_plugins.data.scene import EXTENT, Item, Scene
from genever_plugins.data.shapes import Shapes
from genever_plugins.data.verifier import agreement, look
from hypothesis import given
from hypothesis import strategies as st

NUM = 600


@pytest.fixture(scope="module")
def shapes():
    return Shapes(max_objects=4).build("train")


@pytest.fixture(scope="module")
def drawn(shapes):
    return shapes.fetch(range(NUM))


@st.composite
def groups(draw):
    count = draw(st.integers(1, 4))
    place = draw(st.sampled_from([None, *PLACES])) if count == 1 else None
    kind = {"size": (None, *SIZES), "colour": COLOURS, "shape": SHAPES}
    return Group(count=count, place=place, **{name: draw(st.sampled_from(words)) for name, words in kind.items()})


@given(st.lists(groups(), min_size=1, max_size=4).map(tuple))
def test_captions_read_both_ways(described):
    assert parse_caption(describe(described)) == described


def test_caption_of_a_scene_reads_as_english():
    two = Group(count=2, size="small", colour="red", shape="cross")
    one = Group(count=1, size="large", colour="blue", shape="square", place="top left")
    assert describe((two, one)) == "two small red crosses and a large blue square at the top left"
    assert describe((one, two, one)).count(", ") == 1


@pytest.mark.parametrize(
    "caption",
    ["a dog", "", "a small red circles", "two small red circle", "two small red circles at the top", "a small red circle,"],
)
def test_caption_that_describes_no_shapes_is_refused_with_the_grammar(caption):
    with pytest.raises(ValueError, match=r"describes no shapes\. Write, say, 'two small red circles'"):
        parse_caption(caption)


def test_shapes_follow_from_seed_split_and_number_alone(shapes):
    alone, among = shapes.fetch([7]), shapes.fetch([3, 7, 400])
    assert torch.equal(alone.images[0], among.images[1])
    assert alone.captions[0] == among.captions[1]
    assert torch.equal(alone.images, Shapes(max_objects=4).build("train").fetch([7]).images)
    assert not torch.equal(alone.images, Shapes(max_objects=4, seed=1).build("train").fetch([7]).images)


def test_shapes_stay_what_they_were():
    assert Shapes().build("train").fetch([0, 1, 2]).captions == (
        "a small magenta triangle at the top left",
        "a small cyan square",
        "a small yellow square",
    )


def test_shapes_splits_share_no_image(drawn):
    validation = Shapes(max_objects=4).build("validation").fetch(range(NUM))
    seen = {image.numpy().tobytes() for image in drawn.images}
    assert len(seen) == NUM
    assert not seen & {image.numpy().tobytes() for image in validation.images}


def test_shapes_number_beyond_the_end_is_an_index_error(shapes):
    with pytest.raises(IndexError, match="no image number 50000 among 50000"):
        shapes.fetch([0, 50000])


@pytest.mark.parametrize("size", [(32, 32), (48, 32), (32, 64), (24, 24), (96, 64)])
def test_verifier_recognises_clean_scenes_at_every_size(size):
    dataset = Shapes(height=size[0], width=size[1], max_objects=4).build("validation")
    samples = dataset.fetch(range(200))
    assert samples.images.shape == (200, 3, *size)
    assert (dataset.verify(samples.images, samples) == 1).float().mean() >= 0.99


def test_verifier_recognises_clean_scenes_over_the_grammar(shapes, drawn):
    assert isinstance(shapes, VerifiableDataset)
    assert (shapes.verify(drawn.images, drawn) == 1).float().mean() >= 0.99
    kinds = {(item.size, item.colour, item.shape) for scene in drawn.extras["scene"] for item in scene.items}
    assert len(kinds) == len(SIZES) * len(COLOURS) * len(SHAPES)


def test_verifier_rejects_shuffled_captions(shapes, drawn):
    shuffled = replace(drawn, captions=drawn.captions[1:] + drawn.captions[:1])
    scores = shapes.verify(drawn.images, shuffled)
    assert (scores == 1).float().mean() <= 0.01
    assert scores.mean() < 0.4


@pytest.mark.parametrize(
    ("aspect", "words"),
    [("size", SIZES), ("colour", COLOURS), ("shape", SHAPES), ("place", PLACES), ("count", (1, 2, 3, 4))],
)
def test_verifier_rejects_a_caption_with_one_wrong_word(shapes, drawn, aspect, words):
    for number, scene in enumerate(drawn.extras["scene"][:150]):
        first, *others = scene.groups
        if aspect == "place" and first.place is None:
            continue
        wrong = words[(words.index(getattr(first, aspect)) + 1) % len(words)]
        place = first.place if aspect == "colour" else None
        lie = replace(first, **{"place": place, aspect: wrong})
        (sights,) = look(drawn.images[number : number + 1].numpy())
        assert agreement((lie, *others), sights) < 1, describe((lie, *others))


def test_verifier_rejects_what_was_not_asked_for(shapes, drawn):
    several = [number for number, scene in enumerate(drawn.extras["scene"]) if len(scene.groups) > 1]
    less = tuple(describe(parse_caption(drawn.captions[number])[:-1]) for number in several)
    chosen = shapes.fetch(several)
    assert (shapes.verify(chosen.images, replace(chosen, captions=less)) < 1).all()


def test_verifier_sees_through_noise_and_a_little_blur(shapes, drawn):
    noise = torch.randn(drawn.images.shape, generator=torch.Generator().manual_seed(0))
    assert (shapes.verify((drawn.images + 0.2 * noise).clamp(-1, 1), drawn) == 1).float().mean() >= 0.99
    kernel = torch.tensor([[1.0, 6, 1], [6, 36, 6], [1, 6, 1]]).div(64).expand(3, 1, 3, 3)
    blurred = torch.nn.functional.conv2d(drawn.images, kernel, padding=1, groups=3)
    assert (shapes.verify(blurred, drawn) == 1).float().mean() >= 0.99


@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0])
def test_verifier_sees_no_named_object_on_plain_images(level):
    (sights,) = look(np.full((1, 3, 32, 32), level, dtype=np.float32))
    assert all(sight.colour is None for sight in sights)
    assert agreement(parse_caption("a large red square at the centre"), sights) < 0.6


def test_short_captions_of_the_same_scenes_say_no_size(shapes, drawn):
    short = Shapes(max_objects=4, captions="short").build("train").fetch(range(NUM))
    without = [re.sub(r"(small|large) ", "", caption) for caption in drawn.captions]
    assert torch.equal(short.images, drawn.images)
    assert list(short.captions) == without
    assert (shapes.verify(drawn.images, short) == 1).float().mean() >= 0.99


def test_verifier_judges_by_what_a_caption_says_and_by_nothing_else():
    square = {"colour": "red", "shape": "square", "place": "centre", "x": 0.5, "y": 0.5}
    items = [Item(size=size, extent=extent, **square) for size, extent in EXTENT.items()]
    seen = look(draw([Scene(groups=(), items=(item,)) for item in items], (32, 32)))
    captions = {"a red square": [1, 1], "a small red square": [1, 2 / 3], "a blue square": [1 / 2, 1 / 2]}
    for caption, scores in captions.items():
        assert [agreement(parse_caption(caption), sights) for sights in seen] == pytest.approx(scores), caption


def test_verifier_takes_pure_noise_for_nothing(shapes, drawn):
    noise = torch.rand(drawn.images.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert (shapes.verify(noise, drawn) < 1).all()


def test_verifier_gives_a_share_for_what_is_partly_right():
    item = {"size": "large", "colour": "red", "shape": "square", "extent": 0.28}
    scene = Scene(groups=(), items=(Item(place="top left", x=1 / 6, y=1 / 6, **item),))
    (sights,) = look(draw([scene], (32, 32)))
    scores = {
        "a large red square at the top left": 1,
        "a large red circle at the top left": 3 / 4,
        "a small blue circle": 0,
        "two large red squares": 1 / 2,
        "a large red square and a large green square": 1 / 2,
    }
    assert {caption: agreement(parse_caption(caption), sights) for caption in scores} == pytest.approx(scores)


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_shapes_are_drawn_with_their_area_and_centre_of_mass(number):
    (covered,) = coverage(SHAPES[number], [100.0], [100.0], [80.0], (200, 200))
    assert covered.sum() == pytest.approx(AREA[number] * 80**2, rel=0.01)
    below = (covered.sum(1) * (np.arange(200) + 0.5)).sum() / covered.sum() - 100
    assert below == pytest.approx(CENTROID[number] * 80, abs=0.2)


def test_shapes_stay_inside_the_image_and_apart(drawn):
    edges = torch.cat([drawn.images[..., 0, :], drawn.images[..., -1, :]], dim=-1)
    assert edges.max() < 0.6
    assert [len(sights) for sights in look(drawn.images.numpy())] == [len(scene.items) for scene in drawn.extras["scene"]]


def test_shapes_label_is_the_kind_that_the_caption_names_first(drawn):
    for label, caption in zip(drawn.labels.tolist(), drawn.captions, strict=True):
        first = parse_caption(caption)[0]
        assert (SHAPES[label // 6], COLOURS[label % 6]) == (first.shape, first.colour)


def test_shapes_captions_name_no_place_where_places_are_off():
    captions = Shapes(places=False).build("train").fetch(range(200)).captions
    assert not any(" at the " in caption for caption in captions)
    assert any(" at the " in caption for caption in Shapes().build("train").fetch(range(200)).captions)


def test_shapes_have_every_number_of_objects_equally_often(drawn):
    counts = np.bincount([len(scene.items) for scene in drawn.extras["scene"]])[1:]
    assert len(counts) == 4
    assert abs(counts / NUM - 0.25).max() < 0.06
