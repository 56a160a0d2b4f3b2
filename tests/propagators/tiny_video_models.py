"""Promptable video models of transformers with random weights, small enough for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

SIDE = 64
KINDS = ("sam2_video", "edgetam_video", "sam3_tracker_video")
#: The models reshape pointers of `_HIDDEN` numbers into several memories of `_MEMORY`, which must be 64.
_HIDDEN, _MEMORY = 128, 64
_STRIDES = (4, 8, 16)
_FEATURES = [[SIDE // stride] * 2 for stride in _STRIDES]
_SHARED: dict[str, Any] = {
    "prompt_encoder_config": {
        "hidden_size": _HIDDEN,
        "image_size": SIDE,
        "patch_size": 16,
        "mask_input_channels": 4,
    },
    "mask_decoder_config": {
        "hidden_size": _HIDDEN,
        "mlp_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
    },
    "memory_attention_hidden_size": _HIDDEN,
    "memory_attention_num_layers": 1,
    "memory_attention_rope_feat_sizes": _FEATURES[-1],
    "memory_encoder_hidden_size": _HIDDEN,
    "memory_encoder_output_channels": _MEMORY,
    "mask_downsampler_embed_dim": _HIDDEN,
    "memory_fuser_num_layers": 1,
    "memory_fuser_embed_dim": _HIDDEN,
    "memory_fuser_intermediate_dim": 16,
}


def save(kind: str, folder: Path) -> Path:
    """Write a model of `kind` with its processor into `folder`, the same at each call."""
    torch.manual_seed(0)
    model = {"sam2_video": _sam2, "edgetam_video": _edgetam, "sam3_tracker_video": _sam3}[kind]().eval()
    for name, weight in model.named_parameters():
        if weight.ndim > 1:  # wider than the usual start, or all masks would be alike
            torch.nn.init.normal_(weight, std=0.3 if "decoder" in name else 0.08)
    # All objects are found to be there; else masks are empty.
    torch.nn.init.constant_(model.mask_decoder.pred_obj_score_head.proj_out.bias, 50.0)
    model.save_pretrained(folder)
    _processor(kind).save_pretrained(folder)
    return folder


def _sam2() -> Any:
    from transformers import Sam2VideoConfig, Sam2VideoModel

    config = Sam2VideoConfig(
        vision_config=_hiera(), image_size=SIDE, memory_attention_feed_forward_hidden_size=16, **_SHARED
    )
    return Sam2VideoModel(config)


def _hiera() -> dict[str, Any]:
    from transformers import Sam2HieraDetConfig, Sam2VisionConfig

    widths = [8, 16, 32, 64]
    backbone = Sam2HieraDetConfig(
        hidden_size=widths[0],
        num_attention_heads=1,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 1, 1, 1],
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[4, 4, 4, 4],
        global_attention_blocks=[],
        window_positional_embedding_background_size=[4, 4],
    )
    return Sam2VisionConfig(
        backbone_config=backbone.to_dict(),
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=_FEATURES,
        fpn_hidden_size=_HIDDEN,
    ).to_dict()


def _edgetam() -> Any:
    from transformers import EdgeTamVideoConfig, EdgeTamVideoModel

    config = EdgeTamVideoConfig(
        vision_config=_hiera(),
        image_size=SIDE,
        memory_attention_mlp_hidden_size=16,
        memory_attention_rope_k_sizes=[2, 2],
        perceiver_resampler_num_latents=4,
        perceiver_resampler_num_latents_2d=4,
        perceiver_resampler_mlp_intermediate_size=16,
        perceiver_resampler_num_layers=1,
        **_SHARED,
    )
    return EdgeTamVideoModel(config)


def _sam3() -> Any:
    from transformers import Sam3TrackerVideoConfig, Sam3TrackerVideoModel, Sam3VisionConfig, Sam3ViTConfig

    backbone = Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=16,
        window_size=2,
        global_attn_indexes=[1],
        pretrain_image_size=32,
    )
    vision = Sam3VisionConfig(
        backbone_config=backbone.to_dict(), fpn_hidden_size=_HIDDEN, backbone_feature_sizes=_FEATURES
    )
    config = Sam3TrackerVideoConfig(
        vision_config=vision.to_dict(),
        image_size=SIDE,
        memory_attention_feed_forward_hidden_size=16,
        **_SHARED,
    )
    return Sam3TrackerVideoModel(config)


def _processor(kind: str) -> Any:
    import transformers

    size = {"size": {"height": SIDE, "width": SIDE}}
    mask_size = {"mask_size": {"height": SIDE // 4, "width": SIDE // 4}}
    video = transformers.Sam2VideoVideoProcessor(**size)
    if kind == "sam3_tracker_video":
        image = transformers.Sam3ImageProcessor(**size, **mask_size)
        return transformers.Sam3TrackerVideoProcessor(image, video)
    return transformers.Sam2VideoProcessor(transformers.Sam2ImageProcessor(**size, **mask_size), video)
