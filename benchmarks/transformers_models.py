"""Models of transformers at their published sizes, with random numbers for weights; see parts.py.

Sizes are those of the configurations that the Hugging Face hub has under these names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers

from msnvis.datasets.labels import label_space

LABELS = dict(enumerate(label_space("coco").classes))


def _mask2former(embed_dim: int, depth: int, heads: int, window: int, side: int, queries: int) -> Any:
    swin = transformers.SwinConfig(
        image_size=side,
        embed_dim=embed_dim,
        depths=[2, 2, depth, 2],
        num_heads=[heads, 2 * heads, 4 * heads, 8 * heads],
        window_size=window,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(backbone_config=swin, num_queries=queries, id2label=LABELS)
    processor = transformers.Mask2FormerImageProcessor(
        size={"shortest_edge": 800, "longest_edge": 1333}, size_divisor=32
    )
    return transformers.Mask2FormerForUniversalSegmentation(config), processor


def _eomt(side: int) -> Any:
    processor = transformers.EomtImageProcessor(
        size={"shortest_edge": side, "longest_edge": side}, do_pad=True, do_split_image=False
    )
    config = transformers.EomtConfig(image_size=side, id2label=LABELS)
    return transformers.EomtForUniversalSegmentation(config), processor


def _sam2(width: int, heads: int, blocks: list[int], whole: list[int], windows: int) -> Any:
    widths = [width * 2**stage for stage in range(4)]
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=width,
        num_attention_heads=heads,
        blocks_per_stage=blocks,
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[heads * 2**stage for stage in range(4)],
        global_attention_blocks=whole,
        window_positional_embedding_background_size=[windows, windows],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone.to_dict(), backbone_channel_list=widths[::-1]
    )
    config = transformers.Sam2VideoConfig(vision_config=vision.to_dict())
    return transformers.Sam2VideoModel(config), _sam2_processor()


def _edgetam() -> Any:
    vision = transformers.EdgeTamVisionConfig().to_dict()
    vision["backbone_config"]["architecture"] = "repvit_m1"
    config = transformers.EdgeTamVideoConfig(vision_config=vision)
    return transformers.EdgeTamVideoModel(config), _sam2_processor()


def _sam2_processor() -> Any:
    image, video = transformers.Sam2ImageProcessor(), transformers.Sam2VideoVideoProcessor()
    return transformers.Sam2VideoProcessor(image, video)


SEGMENTERS: dict[str, Callable[[], Any]] = {
    "transformers:tue-mps/coco_instance_eomt_large_640": lambda: _eomt(640),
    "transformers:tue-mps/coco_instance_eomt_large_1280": lambda: _eomt(1280),
    "transformers:facebook/mask2former-swin-tiny-coco-instance": lambda: _mask2former(96, 6, 3, 7, 224, 100),
    "transformers:facebook/mask2former-swin-base-coco-instance": lambda: _mask2former(
        128, 18, 4, 12, 384, 100
    ),
    "transformers:facebook/mask2former-swin-large-coco-instance": lambda: _mask2former(
        192, 18, 6, 12, 384, 200
    ),
}
PROPAGATORS: dict[str, Callable[[], Any]] = {
    "transformers:facebook/sam2.1-hiera-tiny": lambda: _sam2(96, 1, [1, 2, 7, 2], [5, 7, 9], 7),
    "transformers:facebook/sam2.1-hiera-base-plus": lambda: _sam2(112, 2, [2, 3, 16, 3], [12, 16, 20], 14),
    "transformers:yonigozlan/EdgeTAM-hf": _edgetam,
}


def save(name: str, folder: Path) -> str:
    """The name under which the model of that name, with random numbers, can be had from `folder`."""
    folder = folder / name.rpartition("/")[2]
    for part in {**SEGMENTERS, **PROPAGATORS}[name]():
        part.save_pretrained(folder)
    return f"transformers:{folder}"
