"""The tensors of CFBI's official checkpoints, as in the official code, and random ones like them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

Shapes = Iterator[tuple[str, tuple[int, ...]]]

#: benchmarks/cfbi.py, which holds the straightforward formulation.
_spec = importlib.util.spec_from_file_location(
    "cfbi_benchmark", Path(__file__).parents[2] / "benchmarks" / "cfbi.py"
)
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)

EXTRACTER = "feature_extracter"
MOBILENET_BLOCKS = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))


def official_shapes(backbone: str) -> dict[str, tuple[int, ...]]:
    """Name -> shape of each tensor of a checkpoint with the backbone ``resnet`` or ``mobilenet``."""
    high, low = (2048, 256) if backbone == "resnet" else (320, 24)
    tensors = resnet() if backbone == "resnet" else mobilenet()
    return {
        **{f"{EXTRACTER}.backbone.{name}": shape for name, shape in tensors},
        **{f"{EXTRACTER}.{name}": shape for name, shape in deeplab(high, low)},
        **dict(embedding()),
        **{f"dynamic_seghead.{name}": shape for name, shape in ensembler(low)},
        "dynamic_prehead.conv.weight": (64, 15, 1, 1),
        "dynamic_prehead.conv.bias": (64,),
        **dict(affine("dynamic_prehead.bn", 64)),
    }


def affine(name: str, channels: int) -> Shapes:
    yield f"{name}.weight", (channels,)
    yield f"{name}.bias", (channels,)


def frozen(name: str, channels: int) -> Shapes:
    yield from affine(name, channels)
    yield f"{name}.running_mean", (channels,)
    yield f"{name}.running_var", (channels,)


def resnet() -> Shapes:
    yield "conv1.weight", (64, 3, 7, 7)
    yield from frozen("bn1", 64)
    inputs = 64
    for stage, blocks in enumerate((3, 4, 23, 3)):
        planes = 64 << stage
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            for number, shape in enumerate(
                ((planes, inputs, 1, 1), (planes, planes, 3, 3), (4 * planes, planes, 1, 1)), start=1
            ):
                yield f"{name}.conv{number}.weight", shape
                yield from frozen(f"{name}.bn{number}", shape[0])
            if block == 0:
                yield f"{name}.downsample.0.weight", (4 * planes, inputs, 1, 1)
                yield from frozen(f"{name}.downsample.1", 4 * planes)
            inputs = 4 * planes


def mobilenet() -> Shapes:
    """The official module names slices of its blocks, so that each block is stored three times."""
    owners = [(0, 4, "low_level_features"), (4, 18, "high_level_features")]
    owners += [(4, 7, "feautre_8x"), (7, 14, "feature_16x"), (14, 18, "feature_32x"), (0, 18, "features")]
    for first, last, owner in owners:
        for block, tensors in enumerate(mobilenet_blocks()):
            if first <= block < last:
                yield from ((f"{owner}.{block}.{name}", shape) for name, shape in tensors)


def mobilenet_blocks() -> Iterator[list[tuple[str, tuple[int, ...]]]]:
    yield [("0.weight", (32, 3, 3, 3)), *frozen("1", 32)]
    inputs = 32
    for expansion, outputs, blocks in MOBILENET_BLOCKS:
        for _ in range(blocks):
            hidden = expansion * inputs
            shapes = [(hidden, inputs, 1, 1), (hidden, 1, 3, 3), (outputs, hidden, 1, 1)]
            tensors: list[tuple[str, tuple[int, ...]]] = []
            for place, shape in enumerate(shapes if expansion > 1 else shapes[1:]):
                tensors.append((f"conv.{3 * place}.weight", shape))
                tensors += frozen(f"conv.{3 * place + 1}", shape[0])
            yield tensors
            inputs = outputs


def deeplab(high: int, low: int) -> Shapes:
    for number, kernel in ((1, 1), (2, 3), (3, 3), (4, 3)):
        yield f"aspp.aspp{number}.atrous_conv.weight", (256, high, kernel, kernel)
        yield from frozen(f"aspp.aspp{number}.bn", 256)
    yield "aspp.global_avg_pool.1.weight", (256, high, 1, 1)
    yield from frozen("aspp.global_avg_pool.2", 256)
    yield "aspp.conv1.weight", (256, 1280, 1, 1)
    yield from frozen("aspp.bn1", 256)
    yield "decoder.conv1.weight", (48, low, 1, 1)
    yield from frozen("decoder.bn1", 48)
    for place, inputs in ((0, 304), (4, 256)):
        yield f"decoder.last_conv.{place}.weight", (256, inputs, 3, 3)
        yield from frozen(f"decoder.last_conv.{place + 1}", 256)


def embedding() -> Shapes:
    for names in (("seperate_conv", "bn1", "embedding_conv", "bn2"), "0134"):
        prefix = "semantic_embedding." if names == "0134" else ""
        for name, shape in zip(names, ((256, 1, 3, 3), (256,), (100, 256, 1, 1), (100,)), strict=True):
            yield f"{prefix}{name}.weight", shape
            yield f"{prefix}{name}.bias", shape[:1]
    yield "bg_bias", (1, 1, 1, 1)
    yield "fg_bias", (1, 1, 1, 1)


def gct(name: str, channels: int) -> Shapes:
    for part in ("alpha", "gamma", "beta"):
        yield f"{name}.{part}", (1, channels, 1, 1)


def ensembler(low: int) -> Shapes:
    channels = (364, 256, 256, 512, 512, 512, 512, 512, 512)  # before each block, and after the last
    for number, gated in enumerate((*channels, 320, 128), start=1):
        yield f"IA{number}.IA.weight", (gated, 400)
        yield f"IA{number}.IA.bias", (gated,)
    for number, strided in enumerate((0, 0, 1, 0, 0, 1, 0, 0), start=1):
        inputs, outputs = channels[number - 1], channels[number]
        planes = outputs // 4
        name = f"layer{number}"
        yield from gct(f"{name}.GCT1", inputs)
        for conv, shape in enumerate(
            ((planes, inputs, 1, 1), (planes, planes, 3, 3), (outputs, planes, 1, 1)), start=1
        ):
            yield f"{name}.conv{conv}.weight", shape
            yield from affine(f"{name}.bn{conv}", shape[0])
        if inputs != outputs or strided:
            yield f"{name}.downsample.0.weight", (outputs, inputs, 1, 1)
            yield from affine(f"{name}.downsample.1", outputs)
    for number, kernel in ((1, 1), (2, 3), (3, 3), (4, 3)):
        yield from gct(f"ASPP.aspp{number}.GCT", 512)
        yield f"ASPP.aspp{number}.atrous_conv.weight", (128, 512, kernel, kernel)
        yield from affine(f"ASPP.aspp{number}.bn", 128)
    yield "ASPP.global_avg_pool.1.weight", (128, 512, 1, 1)
    yield from gct("ASPP.GCT", 640)
    yield "ASPP.conv1.weight", (256, 640, 1, 1)
    yield from affine("ASPP.bn1", 256)
    yield from gct("GCT_sc", low + 256)
    yield "conv_sc.weight", (64, low + 256, 1, 1)
    yield from affine("bn_sc", 64)
    for number, inputs in ((1, 320), (2, 128)):
        yield f"conv{number}.weight", (128, inputs, 3, 3)
        yield from affine(f"bn{number}", 128)
    for kind in ("fg", "bg"):
        yield f"IA_final_{kind}.weight", (129, 400)
        yield f"IA_final_{kind}.bias", (129,)


def random_checkpoint(backbone: str, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors with the official names, twins equal."""
    state = benchmark.random_state(official_shapes(backbone), seed)
    for name in state:
        for twin in twins(name):
            if twin in state:
                state[twin] = state[name]
    return state


def twins(name: str) -> list[str]:
    """Other names under which the checkpoint holds the same tensor, where `name` is the one to follow."""
    for first, second in (("seperate_conv", 0), ("bn1", 1), ("embedding_conv", 3), ("bn2", 4)):
        if name.startswith(f"{first}."):
            return [name.replace(first, f"semantic_embedding.{second}", 1)]
    begin = f"{EXTRACTER}.backbone.features."
    if not name.startswith(begin):
        return []
    owners = ("low_level_features", "high_level_features", "feautre_8x", "feature_16x", "feature_32x")
    return [name.replace("backbone.features", f"backbone.{owner}") for owner in owners]
