import json
import sys

import numpy as np
import pytest
import squares
import tiny_video_models
import torch
from safetensors.torch import load_file, save_file

from msnvis import VideoInstanceSegmenter
from msnvis.errors import InputError, MissingExtraError, OptionError, WeightsError
from msnvis.propagators import Corrections, create_propagator
from msnvis.propagators.base import state_from_bytes, state_to_bytes

HEIGHT, WIDTH = 48, 80


@pytest.fixture(scope="module", params=tiny_video_models.KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    return tiny_video_models.save(kind, tmp_path_factory.mktemp(kind))


@pytest.fixture(scope="module")
def sam2(tmp_path_factory):
    return tiny_video_models.save("sam2_video", tmp_path_factory.mktemp("sam2"))


def frames(count):
    """Noise that drifts."""
    noise = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH + count, 3), np.uint8)
    return [np.ascontiguousarray(noise[:, k : k + WIDTH]) for k in range(count)]


def box(x, y, width=20, height=16):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width] = True
    return mask


class Reference:
    """One object in a session of transformers that keeps all it ever saw, as its documentation streams."""

    def __init__(self, folder, kind):
        import transformers

        names = {
            "sam2_video": ("Sam2VideoModel", "Sam2VideoProcessor"),
            "edgetam_video": ("EdgeTamVideoModel", "Sam2VideoProcessor"),
            "sam3_tracker_video": ("Sam3TrackerVideoModel", "Sam3TrackerVideoProcessor"),
        }
        model, processor = (getattr(transformers, name) for name in names[kind])
        self.model = model.from_pretrained(folder).eval()
        self.processor = processor.from_pretrained(folder)
        self.session = self.processor.init_video_session(inference_device="cpu")
        self.index = 0

    def step(self, image, mask=None):
        """Give a prompt for this frame or, without one, track."""
        inputs = self.processor(images=image, return_tensors="pt")
        if mask is not None:
            self.processor.add_inputs_to_inference_session(
                self.session, frame_idx=self.index, obj_ids=5, input_masks=mask
            )
        output = self.model(inference_session=self.session, frame=inputs.pixel_values[0])
        self.index += 1
        masks = self.processor.post_process_masks([output.pred_masks], original_sizes=inputs.original_sizes)
        return masks[0][0, 0].numpy()


def test_masks_are_those_of_transformers_though_most_is_forgotten(folder, kind):
    """More frames than any memory, with a correction: what was dropped would not have been looked at."""
    video, correction = frames(24), box(30, 20)
    propagator, reference = create_propagator(f"transformers:{folder}", device="cpu"), Reference(folder, kind)
    propagator.start(video[0], {1: box(10, 10), 2: box(50, 5)})
    reference.step(video[0], box(10, 10))
    different = set()
    for index in range(1, len(video)):
        corrections = Corrections({1: correction}) if index == 6 else None
        carried = propagator.step(video[index], corrections)[1]
        # Frame 5 is corrected after it was tracked; only its correction shall be remembered.
        expected = reference.step(video[index], correction if index == 5 else None)
        if index != 5:
            np.testing.assert_array_equal(carried, expected, f"frame {index}")
        different.add(carried.tobytes())
    assert len(different) > 12


def test_a_correction_is_remembered(sam2):
    corrected, plain = (create_propagator(f"transformers:{sam2}", device="cpu") for _ in range(2))
    video = frames(4)
    for propagator in (corrected, plain):
        propagator.start(video[0], {1: box(10, 10)})
        propagator.step(video[1])
    masks = corrected.step(video[2], Corrections({1: box(40, 20)})), plain.step(video[2])
    assert (masks[0][1] != masks[1][1]).any()


def test_each_object_is_as_if_it_were_alone(folder):
    alone, together = (create_propagator(f"transformers:{folder}", device="cpu") for _ in range(2))
    video = frames(4)
    alone.start(video[0], {1: box(10, 10)})
    together.start(video[0], {2: box(50, 5), 1: box(10, 10)})
    for image in video[1:]:
        corrections = Corrections({3: box(5, 5), 2: box(45, 5)})
        np.testing.assert_array_equal(alone.step(image)[1], together.step(image, corrections)[1])


def tensors(value):
    """All tensors that a session holds."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for each in value.values() for tensor in tensors(each)]
    if isinstance(value, list | tuple):
        return [tensor for each in value for tensor in tensors(each)]
    return tensors(vars(value)) if hasattr(value, "__dict__") else []


def test_a_long_video_with_many_corrections_takes_no_more_memory_than_a_short_one(folder):
    propagator = create_propagator(f"transformers:{folder}", device="cpu", prompts=3)
    video = frames(20)
    propagator.start(video[0], {1: box(10, 10), 2: box(50, 5)})
    counts = []
    for index in range(1, 101):
        corrections = Corrections({1: box(index % 40, 10)}) if index % 3 == 0 else None
        propagator.step(video[index % 20], corrections)
        held = tensors(vars(propagator)["_sessions"])
        counts.append((len(held), sum(tensor.nbytes for tensor in held)))
    assert max(counts[30:60]) == max(counts[60:])
    # Features and positions of 3 + 6 memories and 18 pointers of each object, and the features of a frame.
    assert max(counts)[0] < 2 * (2 * 9 + 18 + 10)


def test_the_first_and_the_latest_prompts_are_kept(sam2):
    propagator = create_propagator(f"transformers:{sam2}", device="cpu", prompts=3)
    video = frames(8)
    propagator.start(video[0], {1: box(10, 10)})
    for index in range(1, 8):
        propagator.step(video[index], Corrections({1: box(10 + index, 10)}))
    prompted = {int(name.split("/")[2]) for name in propagator.state_dict() if "/prompted/" in name}
    assert prompted == {0, 5, 6}


def test_one_prompt_is_the_latest(sam2):
    propagator = create_propagator(f"transformers:{sam2}", device="cpu", prompts=1)
    video = frames(3)
    propagator.start(video[0], {1: box(10, 10)})
    propagator.step(video[1])
    propagator.step(video[2], Corrections({1: box(12, 10)}))
    assert {name.split("/")[2] for name in propagator.state_dict() if "/prompted/" in name} == {"1"}


def test_half_precision_is_saved_and_restored_exactly(folder):
    first, second = (
        create_propagator(f"transformers:{folder}", device="cpu", dtype="bfloat16") for _ in range(2)
    )
    video = frames(6)
    first.start(video[0], {1: box(10, 10)})
    first.step(video[1])
    state = first.state_dict()
    assert state["1/prompted/0/object_pointer"].dtype == np.int16
    second.load_state_dict(state_from_bytes(state_to_bytes(state)))
    for image in video[2:]:
        corrections = Corrections({1: box(20, 10)})
        np.testing.assert_array_equal(first.step(image, corrections)[1], second.step(image, corrections)[1])


def test_a_mask_of_another_size_changes_nothing(sam2):
    first, second = (create_propagator(f"transformers:{sam2}", device="cpu") for _ in range(2))
    video = frames(3)
    for propagator in (first, second):
        propagator.start(video[0], {1: box(10, 10)})
    with pytest.raises(InputError, match="object 2"):
        first.step(video[1], Corrections({1: box(0, 0), 2: np.ones((3, 3), bool)}, frozenset({1})))
    for image in video[1:]:
        np.testing.assert_array_equal(first.step(image)[1], second.step(image)[1])


def test_the_pipeline_tracks_with_it_in_both_directions(sam2):
    """Random weights carry masks to anywhere, so that only what is detected anew is right."""
    pipeline = VideoInstanceSegmenter("squares", f"transformers:{sam2}", classifier="none", device="cpu")
    found = pipeline.run(squares.frames(6))
    assert {track.label for track in found.tracks} == {found.classes.index(name) for name in squares.COLOURS}


def test_the_checkpoint_of_all_of_sam_3_gives_its_tracker(tmp_path):
    """As facebook/sam3 lays it out: the vision encoder belongs to the detector, which has more parts."""
    folder = tiny_video_models.save("sam3_tracker_video", tmp_path)
    alone = create_propagator(f"transformers:{folder}", device="cpu")
    tracker = json.loads((folder / "config.json").read_text())
    detector = {"model_type": "sam3", "vision_config": tracker["vision_config"]}
    whole = {"model_type": "sam3_video", "tracker_config": tracker, "detector_config": detector}
    (folder / "config.json").write_text(json.dumps(whole))
    weights = load_file(folder / "model.safetensors")
    assert any(name.startswith("tracker_model.detector_model.vision_encoder.") for name in weights)
    named = {name.removeprefix("tracker_model."): weight for name, weight in weights.items()}
    parts = ("detector_model.", "tracker_neck.")
    named = {
        name if name.startswith(parts) else f"tracker_model.{name}": weight for name, weight in named.items()
    }
    more = {"detector_model.text_encoder.weight": torch.zeros(2)}
    save_file({**named, **more}, folder / "model.safetensors", {"format": "pt"})
    part = create_propagator(f"transformers:{folder}", device="cpu")
    video = frames(3)
    for propagator in (alone, part):
        propagator.start(video[0], {1: box(10, 10)})
    for image in video[1:]:
        np.testing.assert_array_equal(alone.step(image)[1], part.step(image)[1])


def test_fifteen_objects(sam2):
    propagator = create_propagator(f"transformers:{sam2}", device="cpu")
    video = frames(3)
    propagator.start(video[0], {id_: box(5 * id_, id_) for id_ in range(15)})
    carried = [list(propagator.step(image)) for image in video[1:]]
    assert carried == [list(range(15))] * 2


@pytest.mark.parametrize(
    ("options", "match"), [({"prompts": 0}, "prompts is 0"), ({"dtype": "int8"}, "dtype 'int8'")]
)
def test_options_that_make_no_sense_are_refused(sam2, options, match):
    with pytest.raises(OptionError, match=match):
        create_propagator(f"transformers:{sam2}", device="cpu", **options)


def test_weights_that_lack_a_part_are_refused(tmp_path):
    file = tiny_video_models.save("sam2_video", tmp_path) / "model.safetensors"
    weights = load_file(file)
    for name in [name for name in weights if name.startswith("memory_encoder.")]:
        del weights[name]
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"Sam2Video.* \d+ missing \(memory_encoder\."):
        create_propagator(f"transformers:{tmp_path}", device="cpu")


def test_another_kind_of_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(WeightsError, match="is a 'vit', not a promptable video model"):
        create_propagator(f"transformers:{tmp_path}", device="cpu")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="cannot load"):
        create_propagator(f"transformers:{tmp_path}", device="cpu")


def test_a_pickled_model_is_not_opened(tmp_path):
    weights = tiny_video_models.save("sam2_video", tmp_path) / "model.safetensors"
    torch.save({}, tmp_path / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(WeightsError, match="safetensors"):
        create_propagator(f"transformers:{tmp_path}", device="cpu")


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install msnvis\[transformers\]"):
        create_propagator("transformers:facebook/sam2.1-hiera-tiny", device="cpu")
