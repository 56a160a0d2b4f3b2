"""Label spaces and class maps against the official lists, written down here again, and hand-picked cases."""

import numpy as np
import pytest
from torchvision.models import ViT_B_16_Weights
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

from msnvis.datasets.labels import (
    LABEL_SPACES,
    class_map,
    imagenet_classes,
    imagenet_map,
    label_space,
    openimages_classes,
    openimages_map,
)
from msnvis.errors import UnknownPartError


def words(text: str) -> list[str]:
    return text.split()


YTVIS_2019 = words(
    """
    person giant_panda lizard parrot skateboard sedan ape dog snake monkey hand rabbit duck cat cow fish
    train horse turtle bear motorbike giraffe leopard fox deer owl surfboard airplane truck zebra tiger
    elephant snowboard boat shark mouse frog eagle earless_seal tennis_racket
    """
)
YTVIS_2021 = words(
    """
    airplane bear bird boat car cat cow deer dog duck earless_seal elephant fish flying_disc fox frog
    giant_panda giraffe horse leopard lizard monkey motorbike mouse parrot person rabbit shark
    skateboard snake snowboard squirrel surfboard tennis_racket tiger train truck turtle whale zebra
    """
)


def mapped(source: str, target: str) -> dict[str, str | None]:
    """Class of the source space -> class of the target space, None where it has none."""
    space = label_space(target)
    matrix = class_map(label_space(source).classes, space)
    return {
        name: space.classes[row.argmax()] if row.any() else None
        for name, row in zip(label_space(source).classes, matrix, strict=True)
    }


def imagenet_of(space: str) -> dict[str, list[str]]:
    """Class of the space -> its ImageNet classes."""
    matrix, names = imagenet_map(label_space(space)), imagenet_classes()
    columns = enumerate(label_space(space).classes)
    return {name: [names[i] for i in np.flatnonzero(matrix[:, column])] for column, name in columns}


def openimages_of(space: str) -> dict[str, set[str]]:
    """Class of the space -> its OpenImages classes."""
    matrix, names = openimages_map(label_space(space)), list(openimages_classes().values())
    columns = enumerate(label_space(space).classes)
    return {name: {names[i] for i in np.flatnonzero(matrix[:, column])} for column, name in columns}


@pytest.mark.parametrize(("name", "classes"), [("ytvis2019", YTVIS_2019), ("ytvis2021", YTVIS_2021)])
def test_youtube_vis_has_the_official_names_and_ids(name, classes):
    space = label_space(name)
    assert list(space.classes) == classes
    assert list(space.ids) == list(range(1, 41))


def test_coco_has_torchvisions_names_at_the_official_ids():
    with_gaps = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    expected = {id_: name for id_, name in enumerate(with_gaps) if name not in ("__background__", "N/A")}
    space = label_space("coco")
    assert dict(zip(space.ids, space.classes, strict=True)) == expected
    assert len(space.classes) == 80


def test_imagenet_has_torchvisions_names():
    assert list(imagenet_classes()) == ViT_B_16_Weights.IMAGENET1K_V1.meta["categories"]


@pytest.mark.parametrize("name", LABEL_SPACES)
def test_a_space_has_distinct_names_and_ids_and_maps_to_itself(name):
    space = label_space(name)
    assert len(set(space.classes)) == len(set(space.ids)) == len(space.classes)
    np.testing.assert_array_equal(class_map(space.classes, space), np.eye(len(space.classes)))


def test_any_holds_every_class_and_gives_it_back():
    for name in ("coco", "ytvis2019", "ytvis2021"):
        there, back = mapped(name, "any"), mapped("any", name)
        assert len(set(there.values())) == len(there)
        assert {source: back[middle] for source, middle in there.items()} == {c: c for c in there}
    # COCO's 80, 19 more of 2021 (flying_disc is a frisbee there), and ape, eagle, hand, owl of 2019.
    assert len(label_space("any").classes) == 103


def test_coco_to_youtube_vis():
    to_2021 = {source: target for source, target in mapped("coco", "ytvis2021").items() if target}
    assert to_2021 == {
        **{
            name: name
            for name in words(
                """
                airplane bear bird boat car cat cow dog elephant giraffe horse person skateboard snowboard
                surfboard train truck zebra
                """
            )
        },
        "frisbee": "flying_disc",
        "motorcycle": "motorbike",
        "tennis racket": "tennis_racket",
    }
    to_2019 = mapped("coco", "ytvis2019")
    assert {source for source, target in to_2019.items() if target} == set(to_2021) - {"bird", "frisbee"}
    assert to_2019["car"] == "sedan"
    assert to_2021.get("mouse") is to_2019["mouse"] is None  # COCO's is for a computer
    assert to_2019["sports ball"] is to_2019["bus"] is to_2019["sheep"] is None


#: COCO category id -> YouTube-VIS category id, as VITA, DVIS and MDQE train on COCO.
TO_2019 = {
    1: 1,
    2: 21,
    3: 6,
    4: 21,
    5: 28,
    7: 17,
    8: 29,
    9: 34,
    17: 14,
    18: 8,
    19: 18,
    21: 15,
    22: 32,
    23: 20,
}
TO_2019 |= {24: 30, 25: 22, 35: 33, 36: 33, 41: 5, 42: 27, 43: 40}
TO_2021 = {
    1: 26,
    2: 23,
    3: 5,
    4: 23,
    5: 1,
    7: 36,
    8: 37,
    9: 4,
    16: 3,
    17: 6,
    18: 9,
    19: 19,
    21: 7,
    22: 12,
    23: 2,
}
TO_2021 |= {24: 40, 25: 18, 34: 14, 35: 31, 36: 31, 41: 29, 42: 33, 43: 34}


@pytest.mark.parametrize(("target", "theirs"), [("ytvis2019", TO_2019), ("ytvis2021", TO_2021)])
def test_coco_to_youtube_vis_is_the_map_of_others_but_for_what_is_not_the_same_thing(target, theirs):
    coco, space = label_space("coco"), label_space(target)
    ours = {
        id_: space.ids[row.argmax()]
        for id_, row in zip(coco.ids, class_map(coco.classes, space), strict=True)
        if row.any()
    }
    # They take bicycles for motorbikes and skis for snowboards: in a result these would be wrong names.
    bicycle, skis = 2, 35
    assert ours == {id_: to for id_, to in theirs.items() if id_ not in (bicycle, skis)}


def test_youtube_vis_2019_and_2021():
    # The organisers merged eagle and owl into bird and ape into monkey, and dropped the hands.
    forth = mapped("ytvis2019", "ytvis2021")
    assert {s: t for s, t in forth.items() if s != t} == {
        "sedan": "car",
        "ape": "monkey",
        "eagle": "bird",
        "owl": "bird",
        "hand": None,
    }
    back = mapped("ytvis2021", "ytvis2019")
    assert {s: t for s, t in back.items() if s != t} == {
        "car": "sedan",
        "bird": None,
        "flying_disc": None,
        "squirrel": None,
        "whale": None,
    }


def test_youtube_vis_birds_are_birds_in_coco_and_other_animals_nothing():
    to_coco = mapped("ytvis2019", "coco")
    assert {name for name, target in to_coco.items() if target == "bird"} == {
        "duck",
        "parrot",
        "owl",
        "eagle",
    }
    for name in ("mouse", "leopard", "tiger", "fox", "giant_panda", "ape", "hand"):
        assert to_coco[name] is None


def test_names_are_read_in_the_space_that_has_them_all():
    space = label_space("any")
    among_coco = class_map(("mouse", "keyboard"), space)
    among_animals = class_map(("mouse", "frog"), space)
    assert space.classes[among_coco[0].argmax()] == "computer_mouse"
    assert space.classes[among_animals[0].argmax()] == "mouse"


def test_names_of_no_space_map_to_nothing_and_spare_the_others():
    space = label_space("ytvis2021")
    matrix = class_map(("sedan", "motorcycle", "dragon"), space)
    assert [space.classes[row.argmax()] for row in matrix[:2]] == ["car", "motorbike"]
    assert not matrix[2].any()


def test_scores_are_carried_over_and_summed():
    space = label_space("coco")
    scores = np.array([[0.5, 0.25, 0.25]], np.float32) @ class_map(("duck", "owl", "hand"), space)
    assert scores[0, space.classes.index("bird")] == 0.75
    assert scores.sum() == 0.75


def test_unknown_space_names_the_nearest():
    with pytest.raises(UnknownPartError, match="did you mean 'ytvis2021'"):
        label_space("ytvis-2021")


@pytest.mark.parametrize("space", LABEL_SPACES)
def test_every_imagenet_class_counts_at_most_once(space):
    assert set(imagenet_map(label_space(space)).sum(axis=1)) == {0, 1}


def test_imagenet_names_all_youtube_vis_classes_but_these():
    """What the classifier can never say; these must come from the segmenter."""
    never = {name for name, sources in imagenet_of("ytvis2021").items() if not sources}
    assert never == {"person", "giraffe", "skateboard", "snowboard", "surfboard", "flying_disc"}
    never = {name for name, sources in imagenet_of("ytvis2019").items() if not sources}
    assert never == {"person", "giraffe", "skateboard", "snowboard", "surfboard", "hand"}


def test_imagenet_animals():
    found = imagenet_of("ytvis2021")
    assert len([i for i in range(151, 269) if imagenet_classes()[i] in found["dog"]]) == 118
    assert {"timber wolf", "dingo"} <= set(found["dog"]) and "hyena" not in found["dog"]
    assert found["cat"] == ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"]
    assert len(found["bear"]) == 4 and len(found["snake"]) == 17 and len(found["turtle"]) == 5
    assert found["parrot"] == ["African grey", "macaw", "sulphur-crested cockatoo", "lorikeet"]
    assert found["duck"] == ["drake", "red-breasted merganser"]
    assert found["tiger"] == ["tiger"]
    assert "Madagascar cat" in found["monkey"]  # a lemur
    assert {"gorilla", "baboon"} <= set(found["monkey"])
    assert {"bald eagle", "great grey owl", "black swan", "flamingo"} <= set(found["bird"])
    older = imagenet_of("ytvis2019")
    assert older["eagle"] == ["bald eagle"] and older["owl"] == ["great grey owl"]
    assert "gorilla" in older["ape"] and "gorilla" not in older["monkey"]


def test_names_that_lead_astray():
    found = imagenet_of("any")
    assert found["computer_mouse"] == ["mouse"] and found["mouse"] == ["hamster"]
    assert "kite" in found["bird"] and found["kite"] == []  # ImageNet's is a bird, COCO's a toy
    assert "crane bird" in found["bird"] and "crane" not in found["bird"]
    assert found["orange"] == ["orange"] and "tiger cat" not in found["tiger"]
    assert "tiger shark" in found["shark"] and "tiger beetle" not in found["tiger"]
    assert "sea snake" in found["snake"] and "hotdog" in found["hot_dog"]
    assert "killer whale" in found["whale"] and "cardigan" not in found["dog"] and "Cardigan" in found["dog"]


def test_openimages_has_each_of_its_classes_once():
    classes = openimages_classes()
    assert len(classes) == len(set(classes.values())) == 601
    assert all(mid.startswith("/m/0") for mid in classes)
    ids = {
        "/m/01g317": "Person",
        "/m/0k4j": "Car",
        "/m/0bt9lr": "Dog",
        "/m/015p6": "Bird",
        "/m/03bj1": "Panda",
    }
    ids |= {"/m/04_sv": "Motorcycle", "/m/0h8my_4": "Tennis racket", "/m/02wmf": "Flying disc"}
    assert {mid: classes[mid] for mid in ids} == ids


@pytest.mark.parametrize(("space", "sources", "targets"), [("ytvis2019", 65, 39), ("ytvis2021", 81, 40)])
def test_openimages_classes_count_at_most_once_and_reach_all_of_youtube_vis_but_apes(space, sources, targets):
    matrix = openimages_map(label_space(space))
    assert matrix.shape == (601, 40) and matrix.dtype == np.float32
    assert set(np.unique(matrix)) == {0, 1} and matrix.sum(axis=1).max() == 1
    assert (matrix.any(axis=1).sum(), matrix.any(axis=0).sum()) == (sources, targets)
    never = {name for name, found in openimages_of(space).items() if not found}
    assert never == ({"ape"} if space == "ytvis2019" else set())


#: Bytes of the official ``classes-segmentation.txt``: an id and a line feed for each class.
SEGMENTATION_FILE = 3352
#: Some of the leaf classes of the segmentation challenge of 2019, and boxable classes without masks.
MASKED = {"/m/01bms0", "/m/03jbxj", "/m/0jy4k", "/m/09gtd", "/m/0898b", "/m/04c0y", "/m/0ftb8", "/m/01g317"}
UNMASKED = {"Accordion", "Ant", "Tree", "House", "Human face", "Butterfly", "Whisk", "Animal", "Antelope"}


def test_openimages_classes_with_masks_are_the_official_ones():
    masked = openimages_classes(with_masks=True)
    assert len(masked) == 350 and masked.items() <= openimages_classes().items()
    assert sum(len(mid) + 1 for mid in masked) == SEGMENTATION_FILE
    assert masked.keys() >= MASKED and UNMASKED.isdisjoint(masked.values())


@pytest.mark.parametrize(
    ("space", "sources", "missing"),
    [("ytvis2019", 55, {"ape", "hand", "deer", "snowboard"}), ("ytvis2021", 72, {"deer", "snowboard"})],
)
def test_what_openimages_has_masks_of(space, sources, missing):
    """The map decides on each of the 350; these classes of YouTube-VIS get no masks from OpenImages."""
    target = label_space(space)
    matrix = class_map(list(openimages_classes(with_masks=True)), target)
    assert matrix.shape == (350, 40) and matrix.any(axis=1).sum() == sources
    never = {name for name, found in zip(target.classes, matrix.any(axis=0), strict=True) if not found}
    assert never == missing


def test_openimages_names_every_coco_class():
    assert all(openimages_of("coco").values())


def test_openimages_to_youtube_vis_by_hand():
    found = openimages_of("ytvis2021")
    assert found["person"] == {"Person", "Man", "Woman", "Boy", "Girl"}  # parts of the body are not persons
    assert found["bear"] == {"Bear", "Brown bear", "Polar bear"} and found["giant_panda"] == {"Panda"}
    assert found["parrot"] == {"Parrot"} and found["duck"] == {"Duck"}
    assert {"Bird", "Sparrow", "Eagle", "Owl", "Penguin"} <= found["bird"]
    assert found["bird"].isdisjoint(found["parrot"] | found["duck"] | {"Bat", "Butterfly", "Turtle"})
    assert found["car"] == {"Car", "Taxi", "Van", "Limousine"}
    assert found["truck"] == {"Truck", "Ambulance", "Snowplow"}
    assert found["leopard"] == {"Leopard", "Jaguar", "Cheetah"} and found["cat"] == {"Cat"}
    assert found["turtle"] == {"Turtle", "Tortoise", "Sea turtle"}
    assert found["fish"] == {"Fish", "Goldfish", "Rays and skates", "Seahorse"}
    assert found["whale"] == {"Whale"} and found["earless_seal"] == {"Harbor seal", "Sea lion"}
    assert found["mouse"] == {"Mouse", "Hamster"}  # and not the computer's
    older = openimages_of("ytvis2019")
    assert older["eagle"] == {"Eagle"} and older["owl"] == {"Owl"} and older["hand"] == {"Human hand"}
    assert older["sedan"] == found["car"] and older["monkey"] == {"Monkey"}
    assert not any("Sparrow" in sources for sources in older.values())  # 2019 has no birds as such


def test_openimages_classes_that_are_too_general_or_only_sound_alike_belong_to_none():
    mapped = set().union(*openimages_of("any").values())
    general = {
        "Animal",
        "Mammal",
        "Carnivore",
        "Reptile",
        "Vehicle",
        "Land vehicle",
        "Watercraft",
        "Aircraft",
    }
    alike = {
        "Cat furniture",
        "Dog bed",
        "Horse",
        "Human body",
        "Dinosaur",
        "Red panda",
        "Starfish",
        "Jellyfish",
    }
    assert (general | alike) & mapped == {"Horse"}
    assert openimages_of("any")["teddy_bear"] == {"Teddy bear"}


def test_openimages_and_imagenet_agree_where_both_have_a_class():
    """Detector and classifier vote on the same objects, so one map must not contradict the other."""
    space = label_space("any")
    imagenet = dict(zip((n.lower() for n in imagenet_classes()), imagenet_map(space), strict=True))
    openimages = dict(
        zip((n.lower() for n in openimages_classes().values()), openimages_map(space), strict=True)
    )
    # ImageNet's mouse is a computer's, its kite a bird, its racket for tennis only.
    common = imagenet.keys() & openimages.keys() - {"mouse", "kite", "racket"}
    assert len(common) > 60
    assert {name for name in common if not np.array_equal(imagenet[name], openimages[name])} == set()
