"""Crops inside a window of a video, in torch: where the next crop depends on what the network just said.

A window is a square that stays in place over some frames; its points are u in [-1/2, 1/2]^2, and all its
pictures are in common coordinates. crops: (N, 4) center x and y, side and roll of squares in the window, as
of `align.crop.Crop`, lengths in window sides and the roll in radians.
"""

import torch
from torch.nn import functional

from ..align.crop import ANCHOR_MM, SIDE_MM


def _turns(roll):
    """Rot2(roll), (N, 2, 2)."""
    c, s = roll.cos(), roll.sin()
    return torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)


def extract(windows, crops, size):
    """What crops show: (N, 3, size, size), sampled between the pixels of windows (N, 3, m, m)."""
    theta = torch.cat([crops[:, 2, None, None] * _turns(crops[:, 3]), 2 * crops[:, :2, None]], 2)
    grid = functional.affine_grid(theta, [len(crops), 3, size, size], align_corners=False)
    picture = functional.grid_sample(windows, grid, padding_mode="border", align_corners=False)
    return picture.contiguous(memory_format=torch.channels_last)


def points_in(points, crops):
    """Window points (N, L, 2) in units of crops."""
    return (points - crops[:, None, :2]) @ _turns(crops[:, 3]) / crops[:, 2, None, None]


def points_out(points, crops):
    """Inverse of `points_in`."""
    return crops[:, None, :2] + crops[:, 2, None, None] * (points @ _turns(crops[:, 3]).mT)


def params_in(params, crops):
    """Parameters (N, P) in window units, in units of crops."""
    similarity = params[:, :12].unflatten(1, (3, 4))
    turned = _turns(crops[:, 3]).mT @ similarity[:, :2]
    turned = torch.cat([turned, similarity[:, 2:]], 1) / crops[:, 2, None, None]
    center = points_in(torch.zeros_like(crops[:, None, :2]), crops)[:, 0]
    turned = torch.cat([turned[..., :3], turned[..., 3:] + functional.pad(center, (0, 1))[..., None]], 2)
    return torch.cat([turned.flatten(1), params[:, 12:]], 1)


def next_crops(params, crops):
    """Where the heads are that a network saw in crops: their standard crops, as `Crop.from_pose`.

    params: (N, P) in units of the crops, T an exact similarity.
    """
    similarity = params[:, :12].unflatten(1, (3, 4))
    anchor = similarity.new_tensor([*ANCHOR_MM, 1.0])
    center = (similarity[:, :2] @ anchor)[:, None]
    scale = similarity[:, 0, :3].norm(dim=1)
    roll = torch.atan2(-similarity[:, 0, 1], similarity[:, 1, 1])
    center = points_out(center, crops)[:, 0]
    return torch.cat([center, (SIDE_MM * scale * crops[:, 2])[:, None], (roll + crops[:, 3])[:, None]], 1)


def held_inside(crops, usual, shift=0.25, scale=1.5):
    """Crops kept where the window has something to show: what an untrained network says may be anywhere.

    usual: side of a well placed crop, in the window's middle; shift: largest distance of the center from
    there along each axis, window sides; scale: largest factor of the side either way.
    """
    center = crops[:, :2].clamp(-shift, shift)
    return torch.cat([center, crops[:, 2:3].clamp(usual / scale, usual * scale), crops[:, 3:]], 1)
