"""The published Swin Cascade Mask R-CNN written down a second time, plainly: names, shapes and forward pass.

From mmdetection 2 as in Swin-Transformer-Object-Detection; sizes are those of the state dict that is given.
"""

import itertools
import math

import torch
from torch.nn import functional as F
from torchvision.ops import nms

WINDOW, CLASSES = 7, 80
ANCHOR_SCALE, RATIOS, STRIDES = 8, (0.5, 1.0, 2.0), (4, 8, 16, 32, 64)
DEVIATIONS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def shapes(embed_dim, depths, heads, channels=256, hidden=1024, classes=CLASSES):
    """Names and shapes of a checkpoint's tensors."""
    found = {}

    def layer(name, *shape, bias=True):
        found[f"{name}.weight"] = shape
        if bias:
            found[f"{name}.bias"] = shape[:1]

    layer("backbone.patch_embed.proj", embed_dim, 3, 4, 4)
    layer("backbone.patch_embed.norm", embed_dim)
    for stage, (depth, number) in enumerate(zip(depths, heads, strict=True)):
        width = embed_dim * 2**stage
        for block in range(depth):
            name = f"backbone.layers.{stage}.blocks.{block}"
            layer(f"{name}.norm1", width)
            found[f"{name}.attn.relative_position_bias_table"] = ((2 * WINDOW - 1) ** 2, number)
            found[f"{name}.attn.relative_position_index"] = (WINDOW**2, WINDOW**2)
            layer(f"{name}.attn.qkv", 3 * width, width)
            layer(f"{name}.attn.proj", width, width)
            layer(f"{name}.norm2", width)
            layer(f"{name}.mlp.fc1", 4 * width, width)
            layer(f"{name}.mlp.fc2", width, 4 * width)
        if stage < 3:
            layer(f"backbone.layers.{stage}.downsample.reduction", 2 * width, 4 * width, bias=False)
            layer(f"backbone.layers.{stage}.downsample.norm", 4 * width)
        layer(f"backbone.norm{stage}", width)
        layer(f"neck.lateral_convs.{stage}.conv", channels, width, 1, 1)
        layer(f"neck.fpn_convs.{stage}.conv", channels, channels, 3, 3)
    layer("rpn_head.rpn_conv", channels, channels, 3, 3)
    layer("rpn_head.rpn_cls", 3, channels, 1, 1)
    layer("rpn_head.rpn_reg", 12, channels, 1, 1)
    for stage in range(3):
        head = f"roi_head.bbox_head.{stage}"
        layer(f"{head}.fc_cls", classes + 1, hidden)
        layer(f"{head}.fc_reg", 4 * classes, hidden)
        layer(f"{head}.shared_fcs.0", hidden, channels * 49)
        for conv in range(4):
            layer(f"{head}.shared_convs.{conv}.conv", channels, channels, 3, 3, bias=False)
            layer(f"{head}.shared_convs.{conv}.bn", channels)
            found[f"{head}.shared_convs.{conv}.bn.running_mean"] = (channels,)
            found[f"{head}.shared_convs.{conv}.bn.running_var"] = (channels,)
            found[f"{head}.shared_convs.{conv}.bn.num_batches_tracked"] = ()
        head = f"roi_head.mask_head.{stage}"
        for conv in range(4):
            layer(f"{head}.convs.{conv}.conv", channels, channels, 3, 3)
        layer(f"{head}.upsample", channels, channels, 2, 2)
        layer(f"{head}.conv_logits", classes, channels, 1, 1)
    return found


def position_index():
    """``(49, 49)``: row of the table for each pair of cells of a window."""
    cells = list(itertools.product(range(WINDOW), repeat=2))
    side = 2 * WINDOW - 1
    rows = [[(y - v + WINDOW - 1) * side + x - u + WINDOW - 1 for v, u in cells] for y, x in cells]
    return torch.tensor(rows)


def checkpoint(*sizes, seed=0, **options):
    """A random state dict with the names and shapes of a published one."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes(*sizes, **options).items():
        if name.endswith("relative_position_index"):
            state[name] = position_index()
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        else:
            fan_in = math.prod(shape[1:]) if len(shape) > 1 else 100
            state[name] = torch.randn(shape, generator=generator) / math.sqrt(fan_in)
            if name.endswith(("norm1.weight", "norm2.weight", "norm.weight", "running_var", "bn.weight")):
                state[name] = 1 + state[name].abs()
    return state


class Reference:
    """Runs a state dict of that kind."""

    def __init__(self, state, depths, heads):
        self.state, self.depths, self.heads = state, depths, heads
        self.width = state["backbone.patch_embed.norm.weight"].shape[0]
        self.proposals, self.candidates = 1000, 1000

    def linear(self, name, x):
        return F.linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def conv(self, name, x, **options):
        return F.conv2d(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), **options)

    def attention(self, name, x, heads, shift):
        """``(H, W, C)``: every pixel looks at those of its window that have not come around the edge."""
        height, width, channels = x.shape
        x = F.pad(x, (0, 0, 0, -width % WINDOW, 0, -height % WINDOW))
        rows, columns = x.shape[:2]
        q, k, v = self.linear(f"{name}.qkv", x).chunk(3, dim=-1)
        table = self.state[f"{name}.relative_position_bias_table"]
        groups = {}
        for y, x_ in itertools.product(range(rows), range(columns)):
            moved = (y - shift) % rows, (x_ - shift) % columns
            came_around = (y < shift, x_ < shift) if shift else ()
            window = moved[0] // WINDOW, moved[1] // WINDOW
            groups.setdefault((window, came_around), []).append(((y, x_), moved))
        out = torch.zeros_like(x)
        size = channels // heads
        for members in groups.values():
            ys, xs = torch.tensor([p for p, _ in members]).unbind(1)
            at = torch.tensor([m for _, m in members])
            offset = at[:, None] - at[None] + WINDOW - 1
            bias = table[offset[..., 0] * (2 * WINDOW - 1) + offset[..., 1]]
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                logits = q[ys, xs, part] @ k[ys, xs, part].T / math.sqrt(size) + bias[..., head]
                out[ys, xs, part] = logits.softmax(dim=1) @ v[ys, xs, part]
        return self.linear(f"{name}.proj", out)[:height, :width]

    def backbone(self, image):
        """``(3, H, W)`` to four maps ``(C, h, w)``."""
        x = self.conv("backbone.patch_embed.proj", image[None], stride=4)[0].permute(1, 2, 0)
        x = self.norm("backbone.patch_embed.norm", x)
        levels = []
        for stage, (depth, heads) in enumerate(zip(self.depths, self.heads, strict=True)):
            name = f"backbone.layers.{stage}"
            for block in range(depth):
                x = self.block(f"{name}.blocks.{block}", x, heads, 0 if block % 2 == 0 else WINDOW // 2)
            levels.append(self.norm(f"backbone.norm{stage}", x).permute(2, 0, 1))
            if stage < 3:
                x = F.pad(x, (0, 0, 0, x.shape[1] % 2, 0, x.shape[0] % 2))
                x = torch.cat([x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]], dim=-1)
                x = self.linear(f"{name}.downsample.reduction", self.norm(f"{name}.downsample.norm", x))
        return levels

    def block(self, name, x, heads, shift):
        x = x + self.attention(f"{name}.attn", self.norm(f"{name}.norm1", x), heads, shift)
        hidden = F.gelu(self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.norm2", x)))
        return x + self.linear(f"{name}.mlp.fc2", hidden)

    def pyramid(self, levels):
        maps = [self.conv(f"neck.lateral_convs.{i}.conv", level[None]) for i, level in enumerate(levels)]
        for i in (3, 2, 1):
            maps[i - 1] = maps[i - 1] + F.interpolate(maps[i], size=maps[i - 1].shape[-2:], mode="nearest")
        maps = [self.conv(f"neck.fpn_convs.{i}.conv", m, padding=1) for i, m in enumerate(maps)]
        return [m[0] for m in maps] + [maps[3][0, :, ::2, ::2]]

    def propose(self, levels, size):
        boxes, scores, groups = [], [], []
        for index, (level, stride) in enumerate(zip(levels, STRIDES, strict=True)):
            hidden = F.relu(self.conv("rpn_head.rpn_conv", level[None], padding=1))
            logits = self.conv("rpn_head.rpn_cls", hidden)[0].permute(1, 2, 0).flatten()
            deltas = self.conv("rpn_head.rpn_reg", hidden)[0].permute(1, 2, 0).reshape(-1, 4)
            best = logits.argsort(descending=True)[: self.candidates]
            found = decode(anchors(level.shape[1:], stride)[best], deltas[best], (1,) * 4, size)
            boxes.append(found)
            scores.append(logits[best].sigmoid())
            groups.append(torch.full((len(best),), index))
        boxes, scores, groups = torch.cat(boxes), torch.cat(scores), torch.cat(groups)
        return boxes[grouped_nms(boxes, scores, groups, 0.7)[: self.proposals]]

    def box_head(self, stage, pooled):
        name = f"roi_head.bbox_head.{stage}"
        for i in range(4):
            bn = f"{name}.shared_convs.{i}.bn"
            pooled = self.conv(f"{name}.shared_convs.{i}.conv", pooled, padding=1)
            parts = (self.state[f"{bn}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
            mean, var, weight, bias = (p[:, None, None] for p in parts)
            pooled = F.relu((pooled - mean) / (var + 1e-5).sqrt() * weight + bias)
        hidden = F.relu(self.linear(f"{name}.shared_fcs.0", pooled.flatten(1)))
        return self.linear(f"{name}.fc_cls", hidden), self.linear(f"{name}.fc_reg", hidden)

    def mask_head(self, stage, pooled):
        name = f"roi_head.mask_head.{stage}"
        for i in range(4):
            pooled = F.relu(self.conv(f"{name}.convs.{i}.conv", pooled, padding=1))
        up = f"{name}.upsample"
        up = F.conv_transpose2d(pooled, self.state[f"{up}.weight"], self.state[f"{up}.bias"], stride=2)
        return self.conv(f"{name}.conv_logits", F.relu(up)).sigmoid()

    def detect(self, image, size, score_threshold):
        """Boxes, scores, labels and mask probabilities of a normalised, padded ``(3, H, W)`` image."""
        levels = self.pyramid(self.backbone(image))
        boxes = self.propose(levels, size)
        logits = []
        for stage in range(3):
            found, deltas = self.box_head(stage, pool(levels, boxes, 7))
            logits.append(found)
            deltas = deltas.reshape(len(boxes), -1, 4)
            if stage < 2:
                own = deltas[torch.arange(len(boxes)), found[:, :-1].argmax(dim=1)]
                boxes = decode(boxes, own, DEVIATIONS[stage], size)
        probs = (sum(logits) / 3).softmax(dim=1)[:, :-1]
        region, label = (probs > score_threshold).nonzero(as_tuple=True)
        boxes = decode(boxes[region], deltas[region, label], DEVIATIONS[2], size)
        scores = probs[region, label]
        keep = grouped_nms(boxes, scores, label, 0.5)[:100]
        boxes, scores, label = boxes[keep], scores[keep], label[keep]
        pooled = pool(levels, boxes, 14)
        masks = sum(self.mask_head(stage, pooled) for stage in range(3)) / 3
        return boxes, scores, label, masks[torch.arange(len(boxes)), label]


def anchors(grid, stride):
    """Three boxes around each multiple of the stride, row by row."""
    found = []
    for y, x in itertools.product(range(grid[0]), range(grid[1])):
        for ratio in RATIOS:
            w, h = (stride * ANCHOR_SCALE * f for f in (1 / math.sqrt(ratio), math.sqrt(ratio)))
            found.append([x * stride - w / 2, y * stride - h / 2, x * stride + w / 2, y * stride + h / 2])
    return torch.tensor(found)


def decode(boxes, deltas, deviations, size):
    """Faster R-CNN's boxes from shifts and logarithms of sizes, clipped to the image."""
    dx, dy, dw, dh = (deltas * torch.tensor(deviations)).unbind(1)
    limit = math.log(1000 / 16)
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2 + dx * w, (boxes[:, 1] + boxes[:, 3]) / 2 + dy * h
    w, h = w * dw.clamp(-limit, limit).exp(), h * dh.clamp(-limit, limit).exp()
    corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=1)
    return corners.clamp(min=0).minimum(torch.tensor([size[1], size[0]] * 2).float())


def grouped_nms(boxes, scores, groups, threshold):
    """Suppression within each group; the indices kept, best first."""
    kept = [where[nms(boxes[where], scores[where], threshold)] for g in groups.unique()
            for where in [(groups == g).nonzero()[:, 0]]]  # fmt: skip
    kept = torch.cat(kept) if kept else torch.zeros(0, dtype=torch.long)
    return kept[scores[kept].argsort(descending=True)]


def pool(levels, boxes, side):
    """RoIAlign with ``aligned=True, sampling_ratio=0`` from the level that a box's size asks for."""
    pooled = []
    for x1, y1, x2, y2 in boxes.tolist():
        root = math.sqrt(max((x2 - x1) * (y2 - y1), 0))
        level = min(max(math.floor(math.log2(root / 56 + 1e-6)), 0), 3)
        pooled.append(align(levels[level], [c / STRIDES[level] - 0.5 for c in (x1, y1, x2, y2)], side))
    return torch.stack(pooled) if pooled else levels[0].new_zeros(0, len(levels[0]), side, side)


def align(features, box, side):
    """Mean of a grid of samples in each of side x side bins; beyond one pixel outside, samples are 0."""
    x1, y1, x2, y2 = box
    across, down = (max(math.ceil((b - a) / side), 0) for a, b in ((x1, x2), (y1, y2)))
    if not across or not down:
        return features.new_zeros(len(features), side, side)
    columns = spread(x1, x2, side, across, features.shape[2])
    rows = spread(y1, y2, side, down, features.shape[1])
    return torch.einsum("chw,ih,jw->cij", features, rows, columns)


def spread(start, stop, side, samples, size):
    """``(side, size)`` weights of pixels in the mean of each bin's samples."""
    weights = torch.zeros(side, size)
    for i, s in itertools.product(range(side), range(samples)):
        at = start + (i + (s + 0.5) / samples) * (stop - start) / side
        if -1 <= at <= size:
            at = min(max(at, 0), size - 1)
            low = min(int(at), size - 1)
            weights[i, low] += (1 - (at - low)) / samples
            weights[i, min(low + 1, size - 1)] += (at - low) / samples
    return weights
