"""Label spaces and class maps against the official lists, written down here again, and hand-picked cases."""

import numpy as np
import pytest
from torchvision.models import ViT_B_16_Weights
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

from msnvis.datasets.labels import LABEL_SPACES, class_map, imagenet_classes, imagenet_map, label_space
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
