"""Speed of the propagator `cfbi` against the straightforward formulation, and how far the two differ.

    python benchmarks/cfbi.py [--backbone resnet] [--size 481x849] [--objects 3] [--repeats 3] [--threads 1]

The straightforward formulation applies the published operations one after the other, each to whole tensors:
global matching pads the distances to *all* reference pixels for each object, local matching compares all
625 shifts, batch norms and gates are steps of their own, and decoders convolve what they have upsampled.
Weights and frames are random. The two are timed alternately.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from msnvis.propagators.cfbi import create_network

WRONG = 5e4  # distance of pixels that are not the object's
RADII = (2, 4, 6, 8, 10, 12)


class Straightforward:
    """CFBI from the tensors of a checkpoint, by their published names.

    Args:
        state: the tensors, without ``module.``.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = state

    def conv(self, name: str, x: Tensor, **options: int) -> Tensor:
        return F.conv2d(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), **options)

    def batch_norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias, mean, var = (
            self.state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return F.batch_norm(x, mean, var, weight, bias)

    def group_norm(self, name: str, x: Tensor, groups: int) -> Tensor:
        return F.group_norm(x, groups, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    # the frame's embedding

    def embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """``(1, 3, H, W)`` -> the embedding ``(1, 100, h, w)`` and the low level ``(1, C, h, w)``."""
        mobile = "feature_extracter.backbone.features.0.0.weight" in self.state
        high, low = self.mobilenet(image) if mobile else self.resnet(image)
        x = self.aspp(high)
        name = "feature_extracter.decoder"
        small = self.batch_norm(f"{name}.bn1", self.conv(f"{name}.conv1", low)).relu()
        x = torch.cat([upsample(x, small.shape[2:], "bilinear"), small], dim=1)
        for index in (0, 4):
            x = self.conv(f"{name}.last_conv.{index}", x, padding=1)
            x = self.batch_norm(f"{name}.last_conv.{index + 1}", x).relu()
        x = self.conv("semantic_embedding.0", x, padding=1, groups=256)
        x = self.group_norm("semantic_embedding.1", x, 32).relu()
        x = self.group_norm("semantic_embedding.4", self.conv("semantic_embedding.3", x), 25).relu()
        return x, low

    def resnet(self, x: Tensor) -> tuple[Tensor, Tensor]:
        name = "feature_extracter.backbone"
        x = self.batch_norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, stride=2, padding=3)).relu()
        x = low = F.max_pool2d(x, 3, 2, 1)
        stages = ((3, 1, (1,) * 3), (4, 2, (1,) * 4), (23, 2, (1,) * 23), (3, 1, (2, 4, 8)))
        for stage, (blocks, stride, dilations) in enumerate(stages, start=1):
            for block in range(blocks):
                first = stride if block == 0 else 1
                x = self.residual_block(f"{name}.layer{stage}.{block}", x, first, dilations[block])
            low = x if stage == 1 else low
        return x, low

    def residual_block(self, name: str, x: Tensor, stride: int, dilation: int) -> Tensor:
        out = self.batch_norm(f"{name}.bn1", self.conv(f"{name}.conv1", x)).relu()
        out = self.conv(f"{name}.conv2", out, stride=stride, padding=dilation, dilation=dilation)
        out = self.batch_norm(f"{name}.bn2", out).relu()
        out = self.batch_norm(f"{name}.bn3", self.conv(f"{name}.conv3", out))
        if f"{name}.downsample.0.weight" in self.state:
            x = self.batch_norm(f"{name}.downsample.1", self.conv(f"{name}.downsample.0", x, stride=stride))
        return (out + x).relu()

    def mobilenet(self, x: Tensor) -> tuple[Tensor, Tensor]:
        name = "feature_extracter.backbone.features"
        x = F.relu6(self.batch_norm(f"{name}.0.1", self.conv(f"{name}.0.0", x, stride=2, padding=1)))
        low = x
        for block in range(1, 18):
            stride = 2 if block in (2, 4, 7) else 1
            x = self.inverted_residual(f"{name}.{block}.conv", x, stride, 2 if block > 14 else 1)
            low = x if block == 3 else low
        return x, low

    def inverted_residual(self, name: str, x: Tensor, stride: int, dilation: int) -> Tensor:
        out, last = F.pad(x, (dilation,) * 4), 3
        if f"{name}.6.weight" in self.state:
            out, last = F.relu6(self.batch_norm(f"{name}.1", self.conv(f"{name}.0", out))), 6
        out = self.conv(f"{name}.{last - 3}", out, stride=stride, dilation=dilation, groups=out.shape[1])
        out = F.relu6(self.batch_norm(f"{name}.{last - 2}", out))
        out = self.batch_norm(f"{name}.{last + 1}", self.conv(f"{name}.{last}", out))
        return x + out if out.shape == x.shape else out

    def aspp(self, x: Tensor) -> Tensor:
        name = "feature_extracter.aspp"
        branches = [self.batch_norm(f"{name}.aspp1.bn", self.conv(f"{name}.aspp1.atrous_conv", x)).relu()]
        for number, dilation in ((2, 6), (3, 12), (4, 18)):
            out = self.conv(f"{name}.aspp{number}.atrous_conv", x, padding=dilation, dilation=dilation)
            branches.append(self.batch_norm(f"{name}.aspp{number}.bn", out).relu())
        pooled = self.conv(f"{name}.global_avg_pool.1", F.adaptive_avg_pool2d(x, 1))
        pooled = self.batch_norm(f"{name}.global_avg_pool.2", pooled).relu()
        branches.append(upsample(pooled, x.shape[2:], "bilinear"))
        return self.batch_norm(f"{name}.bn1", self.conv(f"{name}.conv1", torch.cat(branches, dim=1))).relu()

    # matching

    def bias(self, count: int) -> Tensor:
        return torch.cat([self.state["bg_bias"].view(1), self.state["fg_bias"].view(1).expand(count - 1)])

    def match_globally(self, query: Tensor, references: list[tuple[Tensor, Tensor]], count: int) -> Tensor:
        """``(K, 1, h, w)`` for references ``(1, C, h, w)`` with slots ``(h, w)``; in 4 chunks a reference."""
        height, width = query.shape[2:]
        pixels = torch.cat([embedding[0].flatten(1).T for embedding, _ in references])
        slots = torch.cat([slots.flatten() for _, slots in references])
        wrong = (slots != torch.arange(count)[:, None]).float()
        found = []
        for part in query[0].flatten(1).T.tensor_split(4 * len(references)):
            distances = part.square().sum(1)[:, None] + pixels.square().sum(1) - 2 * part @ pixels.T
            found.append((distances[:, None] + wrong * WRONG).amin(dim=2))
        nearest = torch.cat(found) + self.bias(count)
        return (2 * (nearest.sigmoid() - 0.5)).T.reshape(count, 1, height, width)

    def match_locally(self, query: Tensor, previous: Tensor, slots: Tensor, count: int) -> Tensor:
        """``(K, 6, h, w)`` for the frame before with its slots ``(h, w)``, at half the size."""
        size, widest = query.shape[2:], max(RADII)
        half = (size[0] // 2 + 1, size[1] // 2 + 1)
        query, previous = upsample(query, half, "bilinear"), upsample(previous, half, "bilinear")
        slots = F.interpolate(slots[None, None].float(), half)[0, 0]
        padded, labels = F.pad(previous, (widest,) * 4), F.pad(slots, (widest,) * 4, value=-1.0)
        sides = range(2 * widest + 1)
        distances, near = [], []
        for top in sides:
            for left in sides:
                shifted = padded[..., top : top + half[0], left : left + half[1]]
                distances.append((query - shifted).square().sum(dim=1)[0])
                near.append(labels[top : top + half[0], left : left + half[1]])
        distances, near = torch.stack(distances), torch.stack(near)
        result = []
        for slot in range(count):
            own = torch.where(near == slot, distances, WRONG).view(len(sides), len(sides), *half)
            windows = [own.amin(dim=(0, 1))]
            for radius in RADII[:-1]:
                inside = slice(widest - radius, widest + radius + 1)
                windows.append(own[inside, inside].amin(dim=(0, 1)))
            result.append(2 * ((torch.stack(windows) + self.bias(count)[slot]).sigmoid() - 0.5))
        return upsample(torch.stack(result), size, "bilinear")

    # the head

    def logits(
        self,
        current: tuple[Tensor, Tensor],
        previous: tuple[Tensor, Tensor],
        references: list[tuple[Tensor, Tensor]],
        count: int,
    ) -> Tensor:
        """``(K, h, w)``; what is known of a frame is as in `msnvis.propagators.cfbi.network.CFBI.forward`."""
        query, low = current
        embedding, slots = previous
        everywhere = self.match_globally(query, references, count)
        near = self.match_locally(query, embedding, slots, count)
        mask = one_hot(slots, count)
        matched = torch.cat(
            [everywhere, near, mask, least_of_others(near), least_of_others(everywhere)], dim=1
        )
        matched = self.group_norm("dynamic_prehead.bn", self.conv("dynamic_prehead.conv", matched), 16).relu()
        x = [query.expand(count, -1, -1, -1), embedding * mask, embedding * (1 - mask), matched]
        heads = [*mean_embeddings(references, count), *mean_embeddings([previous], count)]
        return self.ensemble(torch.cat(x, dim=1), torch.cat(heads, dim=1), low)

    def ensemble(self, x: Tensor, heads: Tensor, low: Tensor) -> Tensor:
        name = "dynamic_seghead"
        shapes = ((1, 1), (1, 2), (2, 1), (1, 2), (1, 4), (2, 1), (1, 2), (1, 4))
        for number, (stride, dilation) in enumerate(shapes, start=1):
            x = self.gated_block(
                f"{name}.layer{number}", self.attend(f"{name}.IA{number}", x, heads), stride, dilation
            )
            if number == 2:
                shortcut = torch.cat([low.expand(len(x), -1, -1, -1), x], dim=1)
        x = self.gated_aspp(f"{name}.ASPP", self.attend(f"{name}.IA9", x, heads))
        shortcut = self.conv(f"{name}.conv_sc", self.gct(f"{name}.GCT_sc", shortcut))
        shortcut = self.group_norm(f"{name}.bn_sc", shortcut, 16).relu()
        x = torch.cat([upsample(x, shortcut.shape[2:], "bicubic"), shortcut], dim=1)
        for number in (1, 2):
            x = self.conv(f"{name}.conv{number}", self.attend(f"{name}.IA{number + 9}", x, heads), padding=1)
            x = self.group_norm(f"{name}.bn{number}", x, 32).relu()
        own, rest = (
            (x * weights[:, :-1, None, None]).sum(dim=1) + weights[:, -1, None, None]
            for weights in (self.linear(f"{name}.IA_final_{kind}", heads) for kind in ("fg", "bg"))
        )
        if len(own) > 1:
            own[0] += rest[1:].amin(dim=0)
        return own

    def attend(self, name: str, x: Tensor, heads: Tensor) -> Tensor:
        return x * (1 + self.linear(f"{name}.IA", heads).tanh())[..., None, None]

    def gct(self, name: str, x: Tensor) -> Tensor:
        alpha, gamma, beta = (self.state[f"{name}.{part}"] for part in ("alpha", "gamma", "beta"))
        embedding = (x.square().sum(dim=(2, 3), keepdim=True) + 1e-5).sqrt() * alpha
        norm = gamma / (embedding.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        return x * (1 + (embedding * norm + beta).tanh())

    def gated_block(self, name: str, x: Tensor, stride: int, dilation: int) -> Tensor:
        out = self.group_norm(
            f"{name}.bn1", self.conv(f"{name}.conv1", self.gct(f"{name}.GCT1", x)), 32
        ).relu()
        out = self.conv(f"{name}.conv2", out, stride=stride, padding=dilation, dilation=dilation)
        out = self.group_norm(f"{name}.bn2", out, 32).relu()
        out = self.group_norm(f"{name}.bn3", self.conv(f"{name}.conv3", out), 32)
        if f"{name}.downsample.0.weight" in self.state:
            x = self.group_norm(
                f"{name}.downsample.1", self.conv(f"{name}.downsample.0", x, stride=stride), 32
            )
        return (out + x).relu()

    def gated_aspp(self, name: str, x: Tensor) -> Tensor:
        branches = []
        for number, dilation in ((1, 1), (2, 6), (3, 12), (4, 18)):
            options = {"padding": dilation, "dilation": dilation} if number > 1 else {}
            branch = f"{name}.aspp{number}"
            out = self.conv(f"{branch}.atrous_conv", self.gct(f"{branch}.GCT", x), **options)
            branches.append(self.group_norm(f"{branch}.bn", out, 32).relu())
        pooled = self.conv(f"{name}.global_avg_pool.1", F.adaptive_avg_pool2d(x, 1)).relu()
        branches.append(upsample(pooled, x.shape[2:], "bilinear"))
        out = self.gct(f"{name}.GCT", torch.cat(branches, dim=1))
        return self.group_norm(f"{name}.bn1", self.conv(f"{name}.conv1", out), 32).relu()


def upsample(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode=mode, align_corners=True)


def one_hot(slots: Tensor, count: int) -> Tensor:
    """``(h, w)`` -> ``(K, 1, h, w)``."""
    return (slots == torch.arange(count)[:, None, None])[:, None].float()


def least_of_others(values: Tensor) -> Tensor:
    if len(values) == 1:
        return values
    others = [[j for j in range(len(values)) if j != i] for i in range(len(values))]
    return torch.stack([values[chosen].amin(dim=0) for chosen in others])


def mean_embeddings(frames: list[tuple[Tensor, Tensor]], count: int) -> tuple[Tensor, Tensor]:
    """Two times ``(K, C)``: of each object's pixels in all frames, and of all other pixels."""
    means = []
    for inside in (1, 0):
        masks = [(one_hot(slots, count) == inside).float() for _, slots in frames]
        sums = sum((e * mask).sum(dim=(2, 3)) for (e, _), mask in zip(frames, masks, strict=True))
        means.append(sums / (sum(mask.sum(dim=(2, 3)) for mask in masks) + 1e-5))
    return means[0], means[1]


def random_state(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Random tensors, small where an untrained network would amplify the rounding of each layer."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        if name.endswith(("running_var", "alpha")):
            state[name] = 1 + 0.2 * noise.tanh()
        elif name.endswith("weight") and len(shape) > 1:
            state[name] = noise * ((0.1 if ".IA" in name else 1.5) / noise[0].numel()) ** 0.5
        elif name.endswith("weight"):
            state[name] = (0.1 if "bn3" in name else 1) * (1 + 0.2 * noise.tanh())
        else:
            state[name] = 0.2 * noise
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", choices=("resnet", "mobilenet"), default="resnet")
    parser.add_argument("--size", default="481x849", help="height x width, each a multiple of 16 plus 1")
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        compare(options.backbone, *map(int, options.size.split("x")), options.objects, options.repeats)


def compare(backbone: str, height: int, width: int, objects: int, repeats: int) -> None:
    network = create_network("cfbi" if backbone == "resnet" else "cfbi-mobilenet")
    state = random_state({name: value.shape for name, value in network.state_dict().items()}, seed=0)
    network.load_state_dict(state)
    plain = Straightforward(state)
    network.optimise()
    generator = torch.Generator().manual_seed(1)
    first, second, third = torch.randn(3, 1, 3, height, width, generator=generator)
    count = objects + 1
    slots = blobs(count, (height + 3) // 4, (width + 3) // 4)
    earlier = [(plain.embed(image)[0], slots) for image in (first, second)]
    ours = [(network.embed(image)[0], slots) for image in (first, second)]
    current, mine = plain.embed(third), network.embed(third)
    threads = torch.get_num_threads()
    print(f"{backbone}, {height}x{width}, {objects} objects, {threads} threads, best of {repeats}")
    row("embedding", lambda: plain.embed(third)[0], lambda: network.embed(third)[0], repeats)
    row(
        "matching",
        lambda: torch.cat(
            [
                plain.match_globally(current[0], earlier[:1], count),
                plain.match_locally(current[0], *earlier[1], count),
            ],
            dim=1,
        ),
        lambda: network._distances(mine[0], ours[1], ours[:1], count)[:, :7],
        repeats,
    )
    row(
        "frame (probabilities)",
        lambda: plain.logits(plain.embed(third), earlier[1], earlier[:1], count).softmax(dim=0),
        lambda: network(*network.embed(third), ours[1], ours[:1], count).softmax(dim=0),
        repeats,
    )


def blobs(count: int, height: int, width: int) -> Tensor:
    """``(h, w)`` int64: the background and, a third of the frame in all, the objects side by side."""
    slots = torch.zeros(height, width, dtype=torch.int64)
    for slot in range(1, count):
        left, right = (width * edge // (count - 1) for edge in (slot - 1, slot))
        slots[height // 3 : 2 * height // 3, left:right] = slot
    return slots


def row(name: str, plain: Callable[[], Tensor], ours: Callable[[], Tensor], repeats: int) -> None:
    """Time both alternately and print the best times, their ratios and the largest difference."""
    best = [[float("inf")] * 2, [float("inf")] * 2]  # plain and ours: wall and CPU seconds
    results: list[Tensor] = [torch.empty(0)] * 2
    for _ in range(repeats):
        for index, compute in enumerate((plain, ours)):
            start = time.perf_counter(), time.process_time()
            results[index] = compute()
            spent = time.perf_counter() - start[0], time.process_time() - start[1]
            best[index] = [min(pair) for pair in zip(best[index], spent, strict=True)]
    times = "   ".join(
        f"{clock} {1000 * slow:7.0f} / {1000 * quick:6.0f} ms = {slow / quick:5.1f}x"
        for clock, slow, quick in zip(("wall", "CPU"), *best, strict=True)
    )
    difference = (results[0] - results[1]).abs().max()
    print(f"{name:22} {times}   max. difference {difference:.1e}", flush=True)


if __name__ == "__main__":
    main()
