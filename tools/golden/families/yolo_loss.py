"""Losses of YOLO v8's shape and of YOLOX in PyTorch, of this file's own, written from the papers (TOOD arXiv:2108.07755, generalised
focal loss arXiv:2006.04388, CIoU arXiv:1911.08287, YOLOX arXiv:2107.08430). Objects: {"class_labels": [n], "boxes": [n,4] centre and size
in 0..1} for each image.
"""
import math

import torch
from torch.nn import functional as F

TINY = 1e-7


def corners(o, width, height):
    b = o["boxes"] * torch.tensor([width, height, width, height])
    return torch.cat((b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2), 1)


def iou(a, b):
    """Of boxes that broadcast, corners in the last dimension."""
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    both = size[..., 0] * size[..., 1]
    area = lambda x: (x[..., 2] - x[..., 0]) * (x[..., 3] - x[..., 1])
    return both / (area(a) + area(b) - both + TINY)


def ciou(a, b):
    overlap = iou(a, b)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    angle = lambda x: torch.atan((x[..., 2] - x[..., 0]) / (x[..., 3] - x[..., 1] + TINY))
    v = 4 / math.pi**2 * (angle(b) - angle(a)) ** 2
    with torch.no_grad():
        alpha = v / (v - overlap + 1 + TINY)
    return overlap - (apart**2).sum(-1) / ((hull**2).sum(-1) + TINY) - alpha * v


def aligned(sides, classes, points, strides, objects, width, height):
    """sides [B,N,4,K] and classes [B,N,L] logits; points [N,2] in strides."""
    images, count, labels = classes.shape
    bins = sides.shape[3]
    distances = (sides.softmax(3) * torch.arange(float(bins))).sum(3)
    low, high = points - distances[..., :2], points + distances[..., 2:]
    boxes = torch.cat((low, high), 2)  # in strides
    targets = torch.zeros_like(classes)
    picked = []  # image, place, box in strides
    with torch.no_grad():
        for b in range(images):
            truth, kinds = corners(objects[b], width, height), objects[b]["class_labels"]
            n = len(kinds)
            if n == 0:
                continue
            pixels = boxes[b] * strides[:, None]
            middle = points * strides[:, None]
            inside = ((middle[None] > truth[:, None, :2]) & (middle[None] < truth[:, None, 2:])).all(2)  # [n,N]
            overlap = ciou(pixels[None], truth[:, None]).clamp(min=0) * inside
            metric = classes[b].sigmoid()[:, kinds].T ** 0.5 * overlap**6 * inside
            mask = torch.zeros_like(metric)
            for j in range(n):
                best = sorted(range(count), key=lambda i: -metric[j, i].item())[:10]
                mask[j, best] = 1
            mask = mask * (metric > 0)
            owner = torch.where(mask > 0, overlap, torch.full_like(overlap, -1)).argmax(0)
            chosen = torch.zeros_like(mask)
            chosen[owner, torch.arange(count)] = 1
            mask = mask * chosen
            metric, overlap = metric * mask, overlap * mask
            weight = metric / metric.amax(1, keepdim=True).clamp(min=1e-30) * overlap.amax(1, keepdim=True)
            for j, i in mask.nonzero().tolist():
                targets[b, i, kinds[j]] = weight[j, i]
                picked.append((b, i, truth[j] / strides[i], weight[j, i]))
    total = max(sum(p[3].item() for p in picked), 1)
    loss = 0.5 * F.binary_cross_entropy_with_logits(classes, targets, reduction="sum") / total
    for b, i, truth, weight in picked:
        loss = loss + 7.5 * weight * (1 - ciou(boxes[b, i], truth)) / total
        wanted = torch.cat((points[i] - truth[:2], truth[2:] - points[i])).clamp(0, bins - 1.01)
        left = wanted.long()
        share = left + 1 - wanted
        entropy = F.cross_entropy(sides[b, i], left, reduction="none") * share + F.cross_entropy(sides[b, i], left + 1, reduction="none") * (1 - share)
        loss = loss + 1.5 * weight * entropy.mean() / total
    return loss


def simota(boxes, objects_logits, classes, points, strides, objects, width, height):
    """boxes [B,N,4] centre and size in pixels; objects_logits [B,N,1], classes [B,N,L]; points [N,2] in strides."""
    images, count, labels = classes.shape
    corner = torch.cat((boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2), 2)
    wanted = torch.zeros_like(objects_logits)
    picked = []
    with torch.no_grad():
        for b in range(images):
            truth, kinds = corners(objects[b], width, height), objects[b]["class_labels"]
            if len(kinds) == 0:
                continue
            middle = points * strides[:, None]
            inside = ((middle[None] > truth[:, None, :2]) & (middle[None] < truth[:, None, 2:])).all(2)
            centre = (truth[:, None, :2] + truth[:, None, 2:]) / 2
            near = ((middle[None] - centre).abs() < 2.5 * strides[None, :, None]).all(2)
            candidates = (inside | near).any(0)
            overlap = iou(corner[b][None], truth[:, None])
            chance = (classes[b].sigmoid() * objects_logits[b].sigmoid()).sqrt()  # [N,L]
            entropy = torch.stack([F.binary_cross_entropy(chance, F.one_hot(k, labels).float().expand(count, -1), reduction="none").sum(1) for k in kinds])
            cost = entropy - 3 * (overlap + 1e-8).log() + 1e5 * (~(inside & near))
            cost[:, ~candidates] = float("inf")
            mask = torch.zeros_like(cost)
            for j in range(len(kinds)):
                own = overlap[j][candidates]
                k = max(int(own.topk(min(10, len(own))).values.sum()), 1)
                mask[j, sorted(range(count), key=lambda i: cost[j, i].item())[:k]] = 1
            for i in (mask.sum(0) > 1).nonzero().flatten().tolist():
                mask[:, i] = 0
                mask[cost[:, i].argmin(), i] = 1
            for j, i in mask.nonzero().tolist():
                wanted[b, i] = 1
                picked.append((b, i, truth[j], F.one_hot(kinds[j], labels) * overlap[j, i]))
    total = max(len(picked), 1)
    loss = F.binary_cross_entropy_with_logits(objects_logits, wanted, reduction="sum") / total
    for b, i, truth, kind in picked:
        loss = loss + F.binary_cross_entropy_with_logits(classes[b, i], kind, reduction="sum") / total + 5 * (1 - iou(corner[b, i], truth) ** 2) / total
    return loss
