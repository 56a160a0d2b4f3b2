"""Instance segmenters of transformers with random weights, small enough for tests, saved to a folder."""

import torch
import transformers

LABELS = {0: "person", 1: "tvmonitor", 2: "wall-other-merged"}


def mask2former():
    swin = transformers.SwinConfig(
        image_size=32,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=swin,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_layers=1,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        num_attention_heads=2,
        decoder_layers=2,
        num_queries=6,
        id2label=LABELS,
    )
    size = {"shortest_edge": 50, "longest_edge": 70}
    return (
        transformers.Mask2FormerForUniversalSegmentation(config),
        transformers.Mask2FormerImageProcessor(size=size, size_divisor=32),
    )


def maskformer():
    swin = transformers.MaskFormerSwinConfig(
        image_size=32,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    detr = transformers.DetrConfig(
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=6,
    )
    config = transformers.MaskFormerConfig(
        backbone_config=swin, decoder_config=detr, fpn_feature_size=32, mask_feature_size=32, id2label=LABELS
    )
    size = {"shortest_edge": 48, "longest_edge": 64}
    return (
        transformers.MaskFormerForInstanceSegmentation(config),
        transformers.MaskFormerImageProcessor(size=size, size_divisor=32),
    )


def eomt():
    config = transformers.EomtConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        num_blocks=1,
        num_queries=6,
        num_register_tokens=1,
        id2label=LABELS,
    )
    processor = transformers.EomtImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 64}, do_pad=True, do_split_image=False
    )
    return transformers.EomtForUniversalSegmentation(config), processor


def rf_detr():
    backbone = transformers.RfDetrDinov2Config(
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        num_windows=2,
        out_features=["stage2", "stage4"],
    )
    config = transformers.RfDetrConfig(backbone_config=backbone, num_queries=6, d_model=16, id2label=LABELS)
    return transformers.RfDetrForInstanceSegmentation(config), transformers.RfDetrImageProcessor(
        size={"height": 64, "width": 64}
    )


KINDS = {"mask2former": mask2former, "maskformer": maskformer, "eomt": eomt, "rf_detr": rf_detr}


def save(kind, folder):
    """The folder, with a model of that kind."""
    torch.manual_seed(0)
    for part in KINDS[kind]():
        part.save_pretrained(folder)
    return folder
