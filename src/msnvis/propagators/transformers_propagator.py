"""Promptable video models of the transformers library: SAM 2.1, EdgeTAM and the tracker of SAM 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from msnvis.devices import pick_device
from msnvis.errors import MissingExtraError, OptionError, WeightsError
from msnvis.propagators.base import Corrections, Propagator, check_frame, check_mask, propagators
from msnvis.weights.hub import load_from_hub, load_whole

#: `model_type` of a configuration -> classes of its video model and of its processor.
_CLASSES = {
    "sam2_video": ("Sam2VideoModel", "Sam2VideoProcessor"),
    "edgetam_video": ("EdgeTamVideoModel", "Sam2VideoProcessor"),
    "sam3_tracker_video": ("Sam3TrackerVideoModel", "Sam3TrackerVideoProcessor"),
    "sam3_video": ("Sam3TrackerVideoModel", "Sam3TrackerVideoProcessor"),
}
#: The only object of each session.
_OBJECT = 0
#: What the models read of the memory of an earlier frame.
_POINTER, _FEATURES, _POSITIONS = "object_pointer", "maskmem_features", "maskmem_pos_enc"


@propagators.register(
    "transformers:",
    summary="SAM 2.1, EdgeTAM, SAM 3 tracker, such as transformers:facebook/sam2.1-hiera-tiny",
    needs="extra 'transformers', download",
)
def transformers_propagator(
    name: str,
    device: str = "auto",
    *,
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto",
    prompts: int = 4,
    memory_on_cpu: bool = False,
) -> TransformersPropagator:
    """Load a promptable video model.

    Args:
        name: a model of the Hugging Face hub or a folder, with safetensors weights.
        device: where it runs, as in `pick_device`.
        dtype: precision of weights and memories; ``auto`` is bfloat16 on a GPU and float32 elsewhere.
        prompts, memory_on_cpu: as in `TransformersPropagator`.

    Raises:
        MissingExtraError: transformers is not installed, is too old for this model, or lacks a package.
        WeightsError: there is no such model, it cannot be had, or it is of another kind.
        OptionError: an option has a value that makes no sense.

    >>> from msnvis import create_propagator
    >>> create_propagator("transformers:facebook/sam2.1-hiera-tiny", device="cuda")  # doctest: +SKIP
    """
    if dtype not in ("auto", "float32", "float16", "bfloat16"):
        raise OptionError(f"dtype '{dtype}' is unknown; choose auto, float32, float16 or bfloat16")
    where = pick_device(device)
    precision = {"auto": "bfloat16" if where.type == "cuda" else "float32"}.get(dtype, dtype)
    model, processor = _load(name, getattr(torch, precision))
    return TransformersPropagator(model.to(where), processor, prompts=prompts, memory_on_cpu=memory_on_cpu)


class TransformersPropagator(Propagator):
    """Tracks each object by the memory of a promptable video model.

    Every mask that is given from outside is a prompt, and its frame a conditioning frame of the object: the
    model takes the mask as it is and remembers it. Frames are streamed; nothing of a frame is kept but the
    image of the latest one and, for each object, what the model can still read:

    - the conditioning frames, `prompts` at most: the first and the latest. The others become ordinary
      memories;
    - memories of the latest ``num_maskmem - 1`` frames (6 in all published models);
    - pointers, vectors of a few hundred numbers, of the latest ``max_object_pointers_in_encoder - 1`` (15).

    Each object has a session of its own, which costs nothing, because transformers runs objects one by one
    in any case, and lets objects come and go; the features of a frame are computed once for all. An object
    that has vanished keeps its memory, so that the model may find it again, until it is forgotten.

    Args:
        model: a video model of transformers, ready on its device.
        processor: belonging to `model`.
        prompts: most conditioning frames of an object.
        memory_on_cpu: keep memories in the memory of the CPU, which is slower and saves that of the GPU: half
            a megabyte for each frame of each object with SAM 2.1, 5 MB an object at most.

    Raises:
        OptionError: `prompts` is less than 1.
    """

    def __init__(
        self, model: nn.Module, processor: Any, *, prompts: int = 4, memory_on_cpu: bool = False
    ) -> None:
        if prompts < 1:
            raise OptionError(f"prompts is {prompts}; give a number of masks from 1 on")
        self.model = model
        self.processor = processor
        self.prompts = prompts
        self._memory_device = torch.device("cpu") if memory_on_cpu else model.device
        self._begin(None, np.zeros((0, 0, 3), np.uint8), 0)

    def _begin(self, size: tuple[int, int] | None, image: np.ndarray, frame: int) -> None:
        """Forget everything; `image` is frame number `frame`."""
        self._size = size
        #: id -> session; None for an object that never had a mask.
        self._sessions: dict[int, Any] = {}
        self._cache = self._empty_session().cache
        self._positions: Tensor | None = None
        self._see(image, frame)

    def _see(self, image: np.ndarray, frame: int) -> None:
        self._image, self._frame, self._pixels = image, frame, None

    def start(self, image: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
        self._begin((int(image.shape[0]), int(image.shape[1])), image.copy(), 0)
        self._prompt(masks)

    def step(self, image: np.ndarray, corrections: Corrections | None = None) -> dict[int, np.ndarray]:
        check_frame(image, self._size)
        corrections = corrections or Corrections()
        self._prompt(corrections.masks)
        for id_ in corrections.forget:
            self._sessions.pop(id_, None)
        self._see(image.copy(), self._frame + 1)
        carried = {id_: self._carry(session) for id_, session in self._sessions.items()}
        # Fetched when all are on their way, so that a GPU does not wait after each object.
        return {id_: mask.cpu().numpy() for id_, mask in carried.items()}

    def _prompt(self, masks: Mapping[int, np.ndarray]) -> None:
        """Tell the model where objects are in the latest frame."""
        for id_, mask in masks.items():
            check_mask(id_, mask.shape, self._size)
        for id_, mask in masks.items():
            session = self._sessions.setdefault(id_, None)
            if session is None:
                if not mask.any():
                    continue
                session = self._sessions[id_] = self._new_session()
            self.processor.add_inputs_to_inference_session(session, self._frame, _OBJECT, input_masks=mask)
            self._run(session)

    def _carry(self, session: Any) -> Tensor:
        """``(H, W)`` bool on the model's device, the mask of an object in the latest frame."""
        if session is None:
            return torch.zeros(self._size, dtype=torch.bool)
        logits = self._run(session).float()
        return self.processor.post_process_masks([logits], [self._size])[0][0, 0]

    def _run(self, session: Any) -> Tensor:
        """``(1, 1, h, w)`` logits of the mask of an object in the latest frame, which is remembered."""
        if self._pixels is None:
            inputs = self.processor(
                images=self._image,
                input_data_format="channels_last",
                device=self.model.device,
                return_tensors="pt",
            )
            self._pixels = inputs.pixel_values[0]
        # What has been tracked before is forgotten, so that a prompt makes a conditioning frame of this one.
        session.frames_tracked_per_obj[_OBJECT].clear()
        found = self.model(inference_session=session, frame=self._pixels, frame_idx=self._frame)
        self._keep_what_is_read(session)
        return found.pred_masks

    def _keep_what_is_read(self, session: Any) -> None:
        """Drop all of a session that the model will not look at in later frames."""
        session.processed_frames.clear()
        session.mask_inputs_per_obj[_OBJECT].clear()
        prompted, tracked = _memories(session)
        if self._frame in prompted:
            tracked.pop(self._frame, None)
        latest = prompted if self._frame in prompted else tracked
        latest[self._frame] = self._slim(latest[self._frame])
        while len(prompted) > self.prompts:
            oldest = sorted(prompted)[min(self.prompts - 1, 1)]  # but the first, if it has a place
            tracked[oldest] = prompted.pop(oldest)
        config = self.model.config
        for frame in list(tracked):
            age = self._frame + 1 - frame  # as the next frame sees it
            if age >= config.num_maskmem:
                tracked[frame] = {_POINTER: tracked[frame][_POINTER]}
            if age >= config.max_object_pointers_in_encoder:
                del tracked[frame]

    def _slim(self, memory: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the model reads of the memory of a frame; the positions, always the same, are kept once."""
        kept = {key: memory[key].to(self._memory_device) for key in (_POINTER, _FEATURES, _POSITIONS)}
        if self._positions is None:
            self._positions = kept[_POSITIONS]
        return {**kept, _POSITIONS: self._positions}

    def _empty_session(self) -> Any:
        device = self.model.device
        return self.processor.init_video_session(inference_device=device, dtype=self.model.dtype)

    def _new_session(self) -> Any:
        """A session that knows the object but nothing of it."""
        session = self._empty_session()
        session.cache = self._cache
        session.obj_id_to_idx(_OBJECT)
        return session

    def state_dict(self) -> dict[str, np.ndarray]:
        state = {
            "size": np.array(self._size or (), np.int64),
            "image": self._image.copy(),
            "frame": np.array(self._frame, np.int64),
            "ids": np.array(list(self._sessions), np.int64),
        }
        if self._positions is not None:
            state["positions"] = _to_array(self._positions)
        for id_, session in self._sessions.items():
            for kind, memories in zip(("prompted", "tracked"), _memories(session), strict=True):
                for frame, memory in memories.items():
                    for key in memory.keys() - {_POSITIONS}:
                        state[f"{id_}/{kind}/{frame}/{key}"] = _to_array(memory[key])
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        size = tuple(int(side) for side in state["size"])
        image = np.array(state["image"], np.uint8)
        self._begin((size[0], size[1]) if size else None, image, int(state["frame"]))
        self._sessions = dict.fromkeys(int(id_) for id_ in state["ids"])
        if "positions" in state:
            self._positions = _to_tensor(state["positions"]).to(self._memory_device)
        entries = [(name.split("/"), array) for name, array in state.items() if "/" in name]
        # In the order of time, on which the order of the model's sums depends.
        for (id_, kind, frame, key), array in sorted(entries, key=lambda entry: int(entry[0][2])):
            session = self._sessions[int(id_)]
            if session is None:
                session = self._sessions[int(id_)] = self._new_session()
            prompted, tracked = _memories(session)
            memory = (prompted if kind == "prompted" else tracked).setdefault(int(frame), {})
            memory[key] = _to_tensor(array).to(self._memory_device)
            if key == _FEATURES:
                memory[_POSITIONS] = self._positions


def _memories(session: Any) -> tuple[dict[int, dict[str, Tensor]], dict[int, dict[str, Tensor]]]:
    """Frame -> memory of an object in frames that were prompted, and in those where it was tracked."""
    if session is None:
        return {}, {}
    outputs = session.output_dict_per_obj[_OBJECT]
    return outputs["cond_frame_outputs"], outputs["non_cond_frame_outputs"]


def _to_array(tensor: Tensor) -> np.ndarray:
    """As an array; NumPy has no bfloat16, whose bits go as int16."""
    tensor = tensor.cpu()
    return np.array((tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _to_tensor(array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.array(array))
    return tensor.view(torch.bfloat16) if tensor.dtype == torch.int16 else tensor


def _load(name: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    """Model, ready to run on the CPU, and processor."""
    needs = f"propagator 'transformers:{name}' needs"
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(f"{needs} `pip install msnvis[transformers]`") from error

    def load(folder: str) -> tuple[nn.Module, Any]:
        kind = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        if kind not in _CLASSES:
            raise WeightsError(
                f"'{name}' is a '{kind}', not a promptable video model; known: {', '.join(_CLASSES)}"
            )
        model_class, processor_class = (getattr(transformers, cls, None) for cls in _CLASSES[kind])
        if model_class is None or processor_class is None:
            raise MissingExtraError(f"{needs} a newer transformers: `pip install -U transformers`")
        model = load_whole(model_class, folder, dtype=dtype)
        return model, processor_class.from_pretrained(folder, local_files_only=True)

    return load_from_hub(name, load)
