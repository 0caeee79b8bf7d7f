"""YOLOX and detectors of the shapes of YOLO v5 and v8: small networks of this file's own, written from the papers and from descriptions
of the layers, under the names of released weights. transformers has none of them. Folders hold weights alone, without a config. Their
io_grad has two images with objects, the loss (yolo_loss.py) and the gradients of the smaller weights, as they are on disk.

    python tools/golden/families/yolo.py OUTPUT_FOLDER
"""
import os
import sys

import torch
from common import fresh, save, seeded
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import yolo_loss


class Conv(nn.Module):
    def __init__(self, i, o, k=1, s=1, p=None, g=1):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, s, k // 2 if p is None else p, groups=g, bias=False)
        self.bn = nn.BatchNorm2d(o, eps=1e-3)

    def forward(self, x):
        return F.silu(self.bn(self.conv(x)))


class Depthwise(nn.Module):
    def __init__(self, i, o, k, s=1):
        super().__init__()
        self.dconv, self.pconv = Conv(i, i, k, s, g=i), Conv(i, o)

    def forward(self, x):
        return self.pconv(self.dconv(x))


class Bottleneck(nn.Module):
    """`names`: "conv" as YOLOX spells its parts, or "cv"."""

    def __init__(self, c, shortcut, names, first=1, wide=Conv):
        super().__init__()
        self.names, self.shortcut = names, shortcut
        setattr(self, names + "1", Conv(c, c, first))
        setattr(self, names + "2", wide(c, c, 3))

    def forward(self, x):
        y = getattr(self, self.names + "2")(getattr(self, self.names + "1")(x))
        return x + y if self.shortcut else y


class Csp(nn.Module):
    def __init__(self, i, o, n, shortcut, names, wide=Conv):
        super().__init__()
        self.names = names
        for number, sizes in ((1, (i, o // 2)), (2, (i, o // 2)), (3, (o // 2 * 2, o))):
            setattr(self, f"{names}{number}", Conv(*sizes))
        self.m = nn.Sequential(*(Bottleneck(o // 2, shortcut, names, wide=wide) for _ in range(n)))

    def forward(self, x):
        a, b, c = (getattr(self, f"{self.names}{k}") for k in (1, 2, 3))
        return c(torch.cat((self.m(a(x)), b(x)), 1))


class Split(nn.Module):
    def __init__(self, i, o, n, shortcut):
        super().__init__()
        self.cv1, self.cv2 = Conv(i, o // 2 * 2), Conv((2 + n) * (o // 2), o)
        self.m = nn.ModuleList(Bottleneck(o // 2, shortcut, "cv", first=3) for _ in range(n))

    def forward(self, x):
        parts = list(self.cv1(x).chunk(2, 1))
        for block in self.m:
            parts.append(block(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class Holder(nn.Module):
    """A module with parts under any names."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class Pyramid(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.conv2 = Conv(c, c // 2), Conv(c * 2, c)

    def forward(self, x):
        x = self.conv1(x)
        return self.conv2(torch.cat([x] + [F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13)], 1))


def up(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Yolox(nn.Module):
    def __init__(self, base, depth, classes, depthwise=False):
        super().__init__()
        wide = Depthwise if depthwise else Conv
        csp = lambda i, o, n, shortcut: Csp(i, o, n, shortcut, "conv", wide)
        b = base
        trunk = Holder(stem=Holder(conv=Conv(12, b, 3)), dark2=nn.Sequential(wide(b, 2 * b, 3, 2), csp(2 * b, 2 * b, depth, True)),
                       dark3=nn.Sequential(wide(2 * b, 4 * b, 3, 2), csp(4 * b, 4 * b, 3 * depth, True)),
                       dark4=nn.Sequential(wide(4 * b, 8 * b, 3, 2), csp(8 * b, 8 * b, 3 * depth, True)),
                       dark5=nn.Sequential(wide(8 * b, 16 * b, 3, 2), Pyramid(16 * b), csp(16 * b, 16 * b, depth, False)))
        self.backbone = Holder(backbone=trunk, lateral_conv0=Conv(16 * b, 8 * b), C3_p4=csp(16 * b, 8 * b, depth, False), reduce_conv1=Conv(8 * b, 4 * b),
                               C3_p3=csp(8 * b, 4 * b, depth, False), bu_conv2=wide(4 * b, 4 * b, 3, 2), C3_n3=csp(8 * b, 8 * b, depth, False),
                               bu_conv1=wide(8 * b, 8 * b, 3, 2), C3_n4=csp(16 * b, 16 * b, depth, False))
        h = 4 * b
        two = lambda: nn.ModuleList(nn.Sequential(wide(h, h, 3), wide(h, h, 3)) for _ in range(3))
        out = lambda n: nn.ModuleList(nn.Conv2d(h, n, 1) for _ in range(3))
        self.head = Holder(stems=nn.ModuleList(Conv((4 << i) * b, h) for i in range(3)), cls_convs=two(), reg_convs=two(), cls_preds=out(classes), reg_preds=out(4),
                           obj_preds=out(1))

    def forward(self, x):
        rows = []
        for i, p in enumerate(self.heads(x)):
            p = torch.cat((p[:, :4], p[:, 4:].sigmoid()), 1)
            height, width = p.shape[-2:]
            grid = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"), -1).reshape(1, -1, 2)
            p = p.flatten(2).transpose(1, 2)
            stride = 8 << i
            rows.append(torch.cat(((p[..., :2] + grid) * stride, p[..., 2:4].exp() * stride, p[..., 4:]), -1))
        return torch.cat(rows, 1)

    def loss(self, x, objects):
        maps = self.heads(x)
        points, strides = grid(maps)
        p = torch.cat([m.flatten(2).transpose(1, 2) for m in maps], 1)
        boxes = torch.cat(((p[..., :2] + points - 0.5) * strides[:, None], p[..., 2:4].exp() * strides[:, None]), 2)
        return yolo_loss.simota(boxes, p[..., 4:5], p[..., 5:], points, strides, objects, x.shape[3], x.shape[2])

    def heads(self, x):
        n, t, h = self.backbone, self.backbone.backbone, self.head
        x = torch.cat((x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), 1)
        d3 = t.dark3(t.dark2(t.stem.conv(x)))
        d4 = t.dark4(d3)
        top = n.lateral_conv0(t.dark5(d4))
        middle = n.reduce_conv1(n.C3_p4(torch.cat((up(top), d4), 1)))
        fine = n.C3_p3(torch.cat((up(middle), d3), 1))
        medium = n.C3_n3(torch.cat((n.bu_conv2(fine), middle), 1))
        coarse = n.C3_n4(torch.cat((n.bu_conv1(medium), top), 1))
        maps = []
        for i, y in enumerate((fine, medium, coarse)):
            y = h.stems[i](y)
            boxes = h.reg_convs[i](y)
            maps.append(torch.cat((h.reg_preds[i](boxes), h.obj_preds[i](boxes), h.cls_preds[i](h.cls_convs[i](y))), 1))
        return maps


def grid(maps):
    """The middles of all places in strides [N,2], and the strides [N]."""
    points, strides = [], []
    for i, m in enumerate(maps):
        height, width = m.shape[-2:]
        points.append(torch.stack(torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy"), -1).reshape(-1, 2))
        strides.append(torch.full((height * width,), float(8 << i)))
    return torch.cat(points), torch.cat(strides)


class Fast(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.cv1, self.cv2 = Conv(c, c // 2), Conv(c // 2 * 4, c)

    def forward(self, x):
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.cv2(torch.cat(parts, 1))


class Yolo(nn.Module):
    """model.N: as both lines number their layers; layers without weights are missing."""

    def __init__(self, v8, channels, depths, neck, classes):
        super().__init__()
        self.v8, self.classes = v8, classes
        block = (lambda i, o, n, s: Split(i, o, n, s)) if v8 else (lambda i, o, n, s: Csp(i, o, n, s, "cv"))
        a, b, top = channels[2:]
        layers = {0: Conv(3, channels[0], 3, 2) if v8 else Conv(3, channels[0], 6, 2, 2), 9: Fast(top)}
        for i in range(4):
            layers[2 * i + 1] = Conv(channels[i], channels[i + 1], 3, 2)
            layers[2 * i + 2] = block(channels[i + 1], channels[i + 1], depths[i], True)
        if v8:
            layers |= {12: block(top + b, b, neck, False), 15: block(a + b, a, neck, False), 16: Conv(a, a, 3, 2), 18: block(a + b, b, neck, False), 19: Conv(b, b, 3, 2),
                       21: block(b + top, top, neck, False)}
            branch = lambda i, inner, o: nn.Sequential(Conv(i, inner, 3), Conv(inner, inner, 3), nn.Conv2d(inner, o, 1))
            layers[22] = Holder(cv2=nn.ModuleList(branch(i, 16, 64) for i in (a, b, top)), cv3=nn.ModuleList(branch(i, 6, classes) for i in (a, b, top)))
        else:
            layers |= {10: Conv(top, b), 13: block(2 * b, b, neck, False), 14: Conv(b, a), 17: block(2 * a, a, neck, False), 18: Conv(a, a, 3, 2),
                       20: block(2 * a, b, neck, False), 21: Conv(b, b, 3, 2), 23: block(2 * b, top, neck, False)}
            layers[24] = Holder(m=nn.ModuleList(nn.Conv2d(i, 3 * (5 + classes), 1) for i in (a, b, top)))
            layers[24].register_buffer("anchors", torch.rand(3, 3, 2, generator=seeded("anchors")) * 3 + 0.5)
        self.model = Holder(**{str(n): layer for n, layer in layers.items()})

    def maps(self, x):
        layer = lambda n: getattr(self.model, str(n))
        maps = []
        for n in range(9):
            x = layer(n)(x)
            if n in (4, 6):
                maps.append(x)
        x = layer(9)(x)
        top = x if self.v8 else layer(10)(x)
        middle = layer(12 if self.v8 else 13)(torch.cat((up(top), maps[1]), 1))
        middle = middle if self.v8 else layer(14)(middle)
        n1, n2, n3, n4, n5 = (15, 16, 18, 19, 21) if self.v8 else (17, 18, 20, 21, 23)
        fine = layer(n1)(torch.cat((up(middle), maps[0]), 1))
        medium = layer(n3)(torch.cat((layer(n2)(fine), middle), 1))
        coarse = layer(n5)(torch.cat((layer(n4)(medium), top), 1))
        return fine, medium, coarse

    def forward(self, x):
        maps = self.maps(x)
        return self.distances(maps) if self.v8 else self.anchored(maps)

    def loss(self, x, objects):
        maps, head = self.maps(x), getattr(self.model, "22")
        rows = lambda parts: torch.cat([part(m).flatten(2).transpose(1, 2) for part, m in zip(parts, maps)], 1)
        sides = rows(head.cv2)
        return yolo_loss.aligned(sides.reshape(*sides.shape[:2], 4, 16), rows(head.cv3), *grid(maps), objects, x.shape[3], x.shape[2])

    def distances(self, maps):
        head, out = getattr(self.model, "22"), []
        for i, y in enumerate(maps):
            height, width = y.shape[-2:]
            boxes = head.cv2[i](y).reshape(y.shape[0], 4, 16, -1).softmax(2)
            left, upper, right, lower = (boxes * torch.arange(16.0).reshape(1, 1, 16, 1)).sum(2).unbind(1)
            row, column = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
            row, column = row.flatten(), column.flatten()
            corners = column - left, row - upper, column + right, row + lower
            box = torch.stack(((corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2, corners[2] - corners[0], corners[3] - corners[1]), 1) * (8 << i)
            out.append(torch.cat((box, head.cv3[i](y).flatten(2).sigmoid()), 1))
        return torch.cat(out, 2)

    def anchored(self, maps):
        head, out = getattr(self.model, "24"), []
        for i, y in enumerate(maps):
            images, _, height, width = y.shape
            p = head.m[i](y).reshape(images, 3, 5 + self.classes, height, width).permute(0, 1, 3, 4, 2).sigmoid()
            row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            grid = torch.stack((column, row), -1)
            centre = (p[..., :2] * 2 - 0.5 + grid) * (8 << i)
            size = (p[..., 2:4] * 2) ** 2 * head.anchors[i].reshape(3, 1, 1, 2) * (8 << i)
            out.append(torch.cat((centre, size, p[..., 4:]), -1).reshape(images, -1, 5 + self.classes))
        return torch.cat(out, 1)


def randomise(model, name):
    generator = seeded(name)
    with torch.no_grad():
        for key, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            p.copy_(1 + 0.2 * noise if p.ndim == 1 and key.endswith("weight") else noise * (1.4 / p[0].numel() ** 0.5 if p.ndim > 1 else 0.3))
        for key, b in model.named_buffers():
            if key.endswith("running_mean"):
                b.copy_(0.3 * torch.randn(b.shape, generator=generator))
            if key.endswith("running_var"):
                b.copy_(0.5 + torch.rand(b.shape, generator=generator))
    return model.eval()


def folded(state):
    """Norms folded into the convolutions before them, as exporters do it."""
    out = {}
    for name, value in state.items():
        stem = name.rsplit(".", 2)[0]
        if name.endswith(".conv.weight") and f"{stem}.bn.weight" in state:
            scale = state[f"{stem}.bn.weight"] / (state[f"{stem}.bn.running_var"] + 1e-3).sqrt()
            out[name] = value * scale.reshape(-1, 1, 1, 1)
            out[f"{stem}.conv.bias"] = state[f"{stem}.bn.bias"] - state[f"{stem}.bn.running_mean"] * scale
        elif ".bn." not in name:
            out[name] = value
    return out


class Folded(nn.Module):
    """A Conv whose norm is part of its convolution."""

    def __init__(self, old):
        super().__init__()
        c = old.conv
        self.conv = nn.Conv2d(c.in_channels, c.out_channels, c.kernel_size, c.stride, c.padding, groups=c.groups)

    def forward(self, x):
        return F.silu(self.conv(x))


def fold(module):
    for name, part in module.named_children():
        setattr(module, name, Folded(part)) if isinstance(part, Conv) else fold(part)
    return module


def write_gradients(folder, name, model, prefix):
    """Of weights with at most 200 elements: the others would make large files. `prefix`: of their names on disk."""
    state = folded(model.state_dict())
    model = fold(model)
    model.load_state_dict(state)
    generator = seeded(f"objects of {name}")
    pixels = torch.rand(2, 3, 32, 64, generator=generator)
    objects = [{"class_labels": torch.tensor([1, 0]), "boxes": torch.tensor([[0.4, 0.45, 0.5, 0.4], [0.55, 0.6, 0.3, 0.5]])},
               {"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.7, 0.3, 0.35, 0.3]])}]
    loss = model.loss(pixels, objects)
    loss.backward()
    out = {"pixel_values": pixels, "out.loss": loss.reshape(1)}
    for i, o in enumerate(objects):
        out |= {f"labels.{i}.{key}": value for key, value in o.items()}
    out |= {f"out.grad.{prefix}{key}": p.grad for key, p in model.named_parameters() if p.numel() <= 200}
    save(f"{folder}/io_grad.safetensors", out)


def corners(boxes):
    return torch.cat((boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2), -1)


def write(root, name, model, store, gradients=None):
    folder = fresh(root, name)
    store(randomise(model, name).state_dict(), folder)
    pixels = torch.rand(1, 3, 32, 64, generator=seeded(f"pixels of {name}"))
    with torch.no_grad():
        y = model(pixels)
    rows = y.transpose(1, 2) if isinstance(model, Yolo) and model.v8 else y
    scores = rows[..., 4:] if isinstance(model, Yolo) and model.v8 else rows[..., 4:5] * rows[..., 5:]
    save(f"{folder}/io_plain.safetensors", {"pixel_values": pixels, "out.predictions": y, "out.pred_boxes": corners(rows[..., :4]), "out.scores": scores})
    if gradients is not None:
        write_gradients(folder, name, model, gradients)
    for file in os.listdir(folder):
        os.chmod(f"{folder}/{file}", 0o644)


def as_safetensors(state, folder):
    save_file({k: v.contiguous() for k, v in state.items()}, f"{folder}/model.safetensors")


def main(root):
    torch.set_num_threads(1)
    write(root, "yolox", Yolox(2, 1, 3), lambda state, folder: torch.save({"start_epoch": 3, "model": folded(state)}, f"{folder}/yolox.pth"), "model.")
    write(root, "yolox_depthwise", Yolox(2, 1, 2, depthwise=True), as_safetensors)
    write(root, "yolo_v5", Yolo(False, [2, 4, 4, 6, 8], [1, 2, 1, 1], 1, 3), lambda state, folder: as_safetensors(folded(state), folder))
    write(root, "yolo_v8", Yolo(True, [2, 4, 4, 6, 8], [1, 1, 2, 1], 1, 3), lambda state, folder: as_safetensors(folded(state), folder), "")


if __name__ == "__main__":
    main(sys.argv[1])
