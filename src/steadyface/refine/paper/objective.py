"""The paper's objective of a frame: how unlike render and picture are, and how far it went for that.

What SR-VFA leaves open is decided here and in `PaperConfig`:
- SSIM is `evaluate.metrics.ssim`, over the pixels that show the face, in the square crop of the coarse track.
- The three norms are not squared, as printed, unless `ObjectiveWeights.squared`. Unsquared they hold what is
  not worth their slope at nothing: SSIM hardly sees brightness, so that the irradiance stays at 1.
- |I - 1| is the root mean square over the pixels that show the face: a sum would grow with the crop's size.
- A change of pose is a rotation vector in radians and a translation in decimetres, six numbers: the unit of
  the Basel Face Model as the paper's coarse model (Deng et al. 2019) has it, in which a turn of 0.01 and a
  shift of 0.01 move the face about as far.
- A change of expression is in the model's own units, activations in [0, 1].
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ...errors import InputError
from ...rotation import axis_angle_from_matrix, matrix_from_axis_angle
from .renderer import Surface, front_triangles, locate, read_map, shade
from .sampling import crop_face

#: Millimetres in the unit of a pose's translation.
DECIMETRE = 100.0
#: SSIM's window.
_WIDTH, _SIGMA = 11, 1.5


@dataclass(frozen=True)
class ObjectiveWeights:
    """lambda_1, lambda_2 and lambda_3 of SR-VFA, section 2.1; squared: whether the norms are.

    Raises InputError for negative weights.
    """

    expression: float = 0.1
    pose: float = 0.1
    irradiance: float = 0.5
    squared: bool = False

    def __post_init__(self):
        for name in ("expression", "pose", "irradiance"):
            if not getattr(self, name) >= 0:
                raise InputError(f"the weight {name} must be >= 0; got {getattr(self, name)}")


def ssim(rendered, image, mask):
    """Structural similarity inside the mask, the numbers of `evaluate.metrics.ssim`, with gradients.

    rendered, image: (B, C, H, W) in [0, 1]; mask: (B, H, W) bool. Returns (B,), NaN where the mask is empty.
    Source: Wang et al. 2004, equation 13.
    """
    inside = mask[:, None].to(rendered.dtype)
    kernel = torch.arange(_WIDTH, device=rendered.device, dtype=rendered.dtype) - _WIDTH // 2
    kernel = torch.exp(-0.5 * (kernel / _SIGMA) ** 2)
    kernel = kernel / kernel.sum()

    def blur(x):
        c = x.shape[1]
        rows = kernel.expand(c, 1, 1, _WIDTH)
        x = functional.conv2d(x, rows, padding=(0, _WIDTH // 2), groups=c)
        return functional.conv2d(x, rows.mT, padding=(_WIDTH // 2, 0), groups=c)

    share = torch.where(inside > 0, blur(inside), 1)
    # Products of differences to the middle grey lose fewer digits.
    p, q = (rendered - 0.5) * inside, (image - 0.5) * inside
    mp, mq, pp, qq, pq = (blur(torch.cat([p, q, p * p, q * q, p * q], 1)) / share).chunk(5, 1)
    pp, qq, pq = pp - mp * mp, qq - mq * mq, pq - mp * mq
    mp, mq = mp + 0.5, mq + 0.5
    c1, c2 = 0.01**2, 0.03**2
    s = (2 * mp * mq + c1) * (2 * pq + c2) / ((mp**2 + mq**2 + c1) * (pp + qq + c2))
    return (s * inside).sum((1, 2, 3)) / (inside.sum((1, 2, 3)) * rendered.shape[1])


def frame_objective(
    rendered, image, mask, irradiance, expression, rotation, translation, weights=ObjectiveWeights()
):
    """f(i) = 1 - SSIM(R_i, P_i) + 0.1 |d beta| + 0.1 |d p| + 0.5 |I - 1| of each frame: (B,).

    rendered, image: (B, 3, H, W) in [0, 1]; mask: (B, H, W) bool, pixels that count; irradiance: (B, C, H, W)
    at the pixels; expression: (B, E), rotation: (B, 3) radians and translation: (B, 3) mm, by how much they
    were changed. SR-VFA, section 2.1.
    """
    inside = mask[:, None]
    count = inside.sum((1, 2, 3)) * irradiance.shape[1]
    # The norm's gradient at nothing is nothing; a root's would be infinite.
    spread = torch.linalg.vector_norm(torch.where(inside, irradiance - 1, 0), dim=(1, 2, 3)) / count.sqrt()
    pose = torch.cat([rotation, translation / DECIMETRE], -1)
    norms = torch.linalg.vector_norm(expression, dim=-1), torch.linalg.vector_norm(pose, dim=-1), spread
    if weights.squared:
        norms = tuple(n**2 for n in norms)
    value = 1 - ssim(rendered, image, mask) + weights.expression * norms[0] + weights.pose * norms[1]
    return value + weights.irradiance * norms[2]


def evaluate_objective(
    frames, refined, coarse, texture, uv, irradiance=None, *, size=256, weights=ObjectiveWeights()
):
    """The paper's objective of any result, frame by frame: a dict of rows to values, NaN where no face is.

    frames: iterable of (row, image), rows of the tracks and (H, W, 3) uint8 RGB; refined, coarse: pinhole
    `Track`s of the same frames, of which the coarse one says the crop and from where changes count; texture:
    (S, S, 3) uint8, or float in [0, 1]; uv: (U, 2) in [0, 1] where the model's `uv_triangles` lie in it, as
    of a `VideoTexture`; irradiance: function of a row to the (V,), (V, 1) or (V, 3) of its vertices, None for
    1 everywhere; size: side of the square crop, px. Raises InputError for other shapes or tracks.
    """
    for track in (refined, coarse):
        check_pinhole(track)
    if len(refined) != len(coarse):
        raise InputError(
            "both tracks must be of the same frames: the refined one has "
            f"{len(refined)}, the coarse one {len(coarse)}; give the track that was refined"
        )
    texture = np.asarray(texture)
    if texture.ndim != 3 or texture.shape[2] != 3:
        raise InputError(f"a texture must be (S, S, 3), got {texture.shape}")
    colors = texture.astype(np.float32) / (255 if texture.dtype == np.uint8 else 1)
    colors = torch.from_numpy(colors).movedim(-1, 0)[None]
    surface = Surface.of(refined.model, uv)
    changes = _changes(refined, coarse)
    values = {}
    for row, image in frames:
        face = crop_face(coarse, row, image, size)
        light = np.ones(refined.model.vertex_count) if irradiance is None else np.asarray(irradiance(row))
        light = light.reshape(len(light), -1)
        if light.shape not in ((refined.model.vertex_count, k) for k in (1, 3)):
            raise InputError(
                f"irradiance is of every vertex, {refined.model.vertex_count} with 1 or 3 values each; "
                f"got {light.shape}"
            )
        focal = face.focal * refined.focal / coarse.focal
        drawn = _drawn(
            surface, refined, face, focal, colors, torch.as_tensor(light[None], dtype=torch.float32)
        )
        picture = torch.from_numpy(face.image).movedim(-1, 0)[None] / 255
        mask = drawn.mask & torch.from_numpy(face.inside)
        change = (torch.as_tensor(c[row], dtype=torch.float32)[None] for c in changes)
        value = frame_objective(drawn.image, picture, mask, drawn.irradiance, *change, weights=weights)
        values[row] = value.item()
    return values


def _changes(refined, coarse):
    """By how much a track differs from another: expression (T, E), rotation (T, 3), translation (T, 3) mm."""
    there, here = (matrix_from_axis_angle(np.asarray(t.rotation, float)) for t in (refined, coarse))
    turn = axis_angle_from_matrix(there @ np.swapaxes(here, -1, -2))
    # Another focal length puts the head elsewhere; how large it is seen is what compares.
    translation = refined.translation * [1, 1, coarse.focal / refined.focal]
    return refined.expression - coarse.expression, turn, translation - coarse.translation


def _drawn(surface, track, face, focal, texture, irradiance):
    """The `Rendering` of a track's row in a `FaceCrop`; focal: px there; irradiance: (1, V, C)."""
    vertices = torch.as_tensor(track.vertices([face.row]), dtype=torch.float32)
    focal = torch.tensor([focal], dtype=torch.float32)
    center = torch.as_tensor(face.center[None], dtype=torch.float32)
    triangle = front_triangles(surface, vertices, focal, center, face.inside.shape)
    pixels = locate(surface, vertices, focal, center, triangle)
    return shade(pixels, read_map(pixels.texture_grid(surface), texture), pixels.interpolate(irradiance))


def check_pinhole(track):
    """Raises InputError for a weak-perspective track: it has no camera to refine in."""
    if track.focal is None:
        raise InputError(
            "self-refinement needs a track in a pinhole camera, this one is weak-perspective (the live "
            "quality): track with quality='standard' first"
        )
