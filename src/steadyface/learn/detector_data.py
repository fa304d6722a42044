"""Training pictures for the face detector, made on the fly: portraits pasted at many sizes and rolls."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..align.crop import ANCHOR_MM, SIDE_MM
from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..synthesis.backgrounds import BackgroundPool, scramble, skin_blob
from ..synthesis.split import is_held_out

STRIDE = 8


@dataclass(frozen=True)
class Portrait:
    """A portrait with its face's crop in its own pixels.

    image (H, W, 3) uint8 RGB, points (478, 2) px, center (2,) px, side px, rotation (3, 3).
    """

    image: np.ndarray
    points: np.ndarray
    center: np.ndarray
    side: float
    rotation: np.ndarray
    weight: float


def similarity(source, target):
    """Least-squares similarity from points to points, target ~ s R source + t.

    source, target: (*, L, 3). Returns R (*, 3, 3), s (*,), t (*, 3). Umeyama 1991, eqs. 40-42.
    """
    a, b = source - source.mean(-2, keepdims=True), target - target.mean(-2, keepdims=True)
    u, d, vt = np.linalg.svd(np.swapaxes(b, -1, -2) @ a)
    sign = np.ones_like(d)
    sign[..., 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[..., None, :]) @ vt
    scale = (d * sign).sum(-1) / (a**2).sum((-1, -2))
    offset = target.mean(-2) - scale[..., None] * (rotation @ source.mean(-2)[..., None])[..., 0]
    return rotation, scale, offset


def crops_from_landmarks(xyz, mean):
    """Crops of faces from their 3D landmarks, through the weak-perspective pose of a mean shape.

    xyz: (*, 478, 3) px, mean: (478, 3) mm, both in the camera's axes. Returns center (*, 2) px and side
    (*,) px as `Crop.from_pose` defines them, and rotation (*, 3, 3).
    """
    rotation, _, _ = similarity(np.broadcast_to(mean, xyz.shape), xyz)
    # Depth has a unit of its own in the landmarks; scale and place come from the image alone.
    turned = (mean @ np.swapaxes(rotation, -1, -2))[..., :2]
    a, b = turned - turned.mean(-2, keepdims=True), xyz[..., :2] - xyz[..., :2].mean(-2, keepdims=True)
    scale = (a * b).sum((-1, -2)) / (a**2).sum((-1, -2))
    offset = xyz[..., :2].mean(-2) - scale[..., None] * turned.mean(-2)
    center = scale[..., None] * (rotation @ np.asarray(ANCHOR_MM))[..., :2] + offset
    return center, SIDE_MM * scale, rotation


def reference_shape():
    """The mean face's MediaPipe landmarks in the model frame, (478, 3) mm."""
    model = load_face_model()
    return model.landmarks("mediapipe478")(np.zeros(model.identity_count), np.zeros(model.expression_count))


def read_portraits(folders, mean, held_out=False):
    """Portraits of the training or the held-out part of folders laid out as images/ and landmarks478.npz.

    mean: (478, 3) mm from `reference_shape`. Returns a list of `Portrait`; their weights make colour and dark
    skin as frequent as the old grey photographs. Raises InputError for unreadable pictures.
    """
    portraits = []
    for folder in map(Path, folders):
        with np.load(folder / "landmarks478.npz") as data:
            names = data["names"]
            # MediaPipe counts from the picture's edge; half a pixel less counts from pixel centres.
            xyz = data["xyz"].astype(np.float64) / 32 - (0.5, 0.5, 0)
            doubt = data["flip_consistency"] if "flip_consistency" in data else np.zeros(len(names))
        keep = np.array([is_held_out(n) == held_out for n in names]) & (doubt < 0.042)
        centers, sides, rotations = crops_from_landmarks(xyz, mean)
        for i in np.flatnonzero(keep):
            image = cv2.imread(str(folder / "images" / names[i]))
            if image is None:
                raise InputError(f"{folder / 'images' / names[i]} is not a readable picture")
            image = np.ascontiguousarray(image[..., ::-1])
            points = xyz[i, :, :2].astype(np.float32)
            weight = _sampling_weight(image, points)
            portraits.append(Portrait(image, points, centers[i], float(sides[i]), rotations[i], weight))
    return portraits


def _sampling_weight(image, points):
    x, y = np.clip(points[[50, 280, 151]], 0, np.array(image.shape[1::-1]) - 1).astype(int).T
    cheeks = cv2.blur(image, (5, 5))[y, x].mean(0)
    saturated = cheeks.max() - cheeks.min() > 0.12 * cheeks.max() + 8
    return (2.5 if saturated else 1.0) * (3.0 if saturated and cheeks.max() < 150 else 1.0)


@dataclass(frozen=True)
class CompositeSettings:
    """How composites are drawn; sides in pixels of the network's input."""

    smallest_side: float = 18.0
    largest_side: float = 420.0
    hard_negatives: float = 0.5
    occluders: float = 0.2


class Composer:
    """Draws labelled pictures of 0 to 4 faces.

    portraits: list of `Portrait`; backgrounds: how many are made at the start.
    """

    def __init__(self, portraits, settings=None, seed=0, backgrounds=500):
        self.portraits = portraits
        self.settings = settings or CompositeSettings()
        weights = np.array([p.weight for p in portraits])
        self._cumulative = np.cumsum(weights / weights.sum())
        self.backgrounds = BackgroundPool(portraits, np.random.default_rng(seed), backgrounds)

    def _portrait(self, rng):
        return self.portraits[min(np.searchsorted(self._cumulative, rng.random()), len(self.portraits) - 1)]

    def draw(self, rng, height, width):
        """One picture (height, width, 3) uint8 and its faces (M, 6): centre x, y and side in px, roll,
        visible part in 0..1, and 1 where the face counts (0: too hidden to ask for, too visible to deny)."""
        canvas = self.backgrounds.draw(rng, height, width)
        if rng.random() < self.settings.hard_negatives:
            for _ in range(rng.integers(1, 4)):
                self._paste_negative(rng, canvas)
        faces, taken = [], np.zeros((height, width), np.uint8)
        count = rng.choice(5, p=[0.12, 0.48, 0.2, 0.12, 0.08])
        large = count == 1 and rng.random() < 0.5
        for _ in range(count):
            face = self._paste_face(rng, canvas, taken, large)
            if face is not None:
                faces.append(face)
        if rng.random() < self.settings.occluders:
            self._occlude(rng, canvas, faces)
        image = degrade(rng, canvas)
        if rng.random() < 0.25:
            _letterbox_band(rng, image, faces)
        return image, np.array(faces, np.float32).reshape(-1, 6)

    def _paste_face(self, rng, canvas, taken, large):
        height, width = canvas.shape[:2]
        s = self.settings
        portrait = self._portrait(rng)
        low, high = (0.4 * min(height, width), s.largest_side) if large else (s.smallest_side, 0.7 * height)
        side = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        turn = rng.normal(0, np.radians(14)) if rng.random() < 0.5 else rng.uniform(-1, 1) * np.radians(60)
        if rng.random() < 0.06:
            turn = rng.uniform(-1, 1) * np.radians(90)
        if side > 0.5 * min(height, width):
            turn *= 0.6
            center = np.array([width, height]) * rng.normal(0.5, 0.16, 2)
        else:
            margin = 0.3 * side
            center = rng.uniform(
                [-0.1 * side + margin, margin], [width + 0.1 * side - margin, height - margin]
            )
        image, points, source_center, rotation = (
            portrait.image,
            portrait.points,
            portrait.center,
            portrait.rotation,
        )
        scale = side / portrait.side
        while scale < 0.55:
            # Halving first keeps the warp from aliasing.
            image = cv2.resize(
                image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA
            )
            points, source_center, scale = (points - 0.5) / 2, (source_center - 0.5) / 2, scale * 2
        squeeze = np.exp(rng.normal(0, 0.05))
        c, s = np.cos(turn), np.sin(turn)
        linear = scale * np.array([[c, -s], [s, c]]) @ np.diag([squeeze, 1 / squeeze])
        if rng.random() < 0.5:
            linear = linear @ np.diag([-1, 1])
            rotation = rotation * np.outer((-1, 1, 1), (-1, 1, 1))
        turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ rotation
        roll = np.arctan2(turned[1, 0], turned[1, 1])
        affine = np.column_stack([linear, center - linear @ source_center])
        points = points @ linear.T + affine[:, 2]
        hull = cv2.convexHull(points.astype(np.float32))[:, 0]
        visible = ((points > 0) & (points < (width - 1, height - 1))).all(1).mean()
        face = _filled((width, height), [hull])
        if visible < 0.1 or taken[face > 0].any():
            return None

        frame = _rectangle(image.shape, 0) @ linear.T + affine[:, 2]
        polygons, reach = self._outline(
            rng, image.shape, affine, hull, center, side, turn, min(height, width)
        )
        # Only the part of the picture that changes is warped and blended.
        around = np.vstack(polygons) if polygons else np.array([[0, 0], [width, height]])
        x0, y0 = np.clip(np.floor(around.min(0) - 3 * reach - 1), 0, (width, height)).astype(int).tolist()
        x1, y1 = np.clip(np.ceil(around.max(0) + 3 * reach + 2), 0, (width, height)).astype(int).tolist()
        size, origin = (x1 - x0, y1 - y0), np.array([x0, y0])
        affine[:, 2] -= origin
        if polygons:
            mask = _filled(size, [p - origin for p in polygons]) & _filled(size, [frame - origin])
            if reach > 0.6:
                mask = np.minimum(cv2.GaussianBlur(mask, (0, 0), reach), _filled(size, [frame - origin]))
        else:
            mask = np.full(size[::-1], 255, np.uint8)
        before = taken[y0:y1, x0:x1] > 0
        # Never cover a face already drawn.
        if before.any():
            if (before & (mask > 25)).sum() > 0.3 * before.sum():
                return None
            mask[before] = 0
        warped = cv2.warpAffine(image, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if rng.random() < 0.5:
            gains = np.exp(rng.normal(0, 0.12, 3) + rng.normal(0, 0.2))
            table = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)
            warped = cv2.LUT(warped, table[None])
        _blend(canvas[y0:y1, x0:x1], warped, mask)
        taken[face > 0] = 255
        center_in = (center > -2).all() and (center < (width + 1, height + 1)).all()
        return [*center, side, roll, visible, float(visible > 0.5 and center_in)]

    def _outline(self, rng, shape, affine, hull, center, side, turn, frame_side):
        # What of the portrait is pasted: polygons in canvas pixels (none: everything), and their blur.
        kind = rng.random()
        if kind < 0.3 and side > 0.35 * frame_side:
            return [], 0.0
        if kind < 0.55:
            corners = _rectangle(shape, rng.uniform(0.01, 0.06) * shape[1])
            reach = 0.0 if rng.random() < 0.5 else 0.03 * side
            return [corners @ affine[:, :2].T + affine[:, 2]], min(reach, 10.0)
        down = np.array([-np.sin(turn), np.cos(turn)])
        across = np.array([np.cos(turn), np.sin(turn)])
        grow, hair = rng.uniform(1.0, 1.35), rng.uniform(0.05, 0.35)
        middle = hull.mean(0)
        head = (hull - middle) * grow + middle
        above = np.clip(-((head - middle) @ down) / (0.4 * side), 0, 1)
        head = head - above[:, None] * down * hair * side
        polygons = [head]
        if rng.random() < 0.6:
            # Neck and shoulders, as far as the portrait goes.
            neck, shoulder = rng.uniform(0.2, 0.32) * side, rng.uniform(0.45, 0.9) * side
            low, side_low = 1.2 * side, 0.62 * side
            body = [(neck, 0.3 * side), (shoulder, side_low), (shoulder, low)]
            body += [(-x, y) for x, y in reversed(body)]
            polygons.append(np.array([center + across * x + down * y for x, y in body]))
        return polygons, min(rng.uniform(0, 0.06) * side, 10.0)

    def _paste_negative(self, rng, canvas):
        height, width = canvas.shape[:2]
        size = int(np.exp(rng.uniform(np.log(16), np.log(0.8 * height))))
        if rng.random() < 0.5:
            patch, alpha = skin_blob(rng, size)
        else:
            patch, alpha = scramble(rng, self._portrait(rng), size)
        x, y = rng.integers(-size // 3, width - size // 2), rng.integers(-size // 3, height - size // 2)
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + size, width), min(y + size, height)
        if x1 > x0 and y1 > y0:
            mask = np.ascontiguousarray((alpha[y0 - y : y1 - y, x0 - x : x1 - x] * 255).astype(np.uint8))
            part = patch[y0 - y : y1 - y, x0 - x : x1 - x].astype(np.uint8)
            _blend(canvas[y0:y1, x0:x1], part, mask)

    def _occlude(self, rng, canvas, faces):
        for f in faces:
            x, y, side = f[:3]
            color = [int(v) for v in rng.integers(0, 255, 3)]
            size = side * rng.uniform(0.08, 0.22)
            at = np.array([x, y]) + rng.uniform(-0.45, 0.45, 2) * side
            if rng.random() < 0.5:
                axes = (int(size * rng.uniform(0.4, 1)) + 1, int(size) + 1)
                cv2.ellipse(canvas, at.astype(int).tolist(), axes, rng.uniform(0, 180), 0, 360, color, -1)
            else:
                end = at + rng.normal(0, 1, 2) * side
                cv2.line(
                    canvas, at.astype(int).tolist(), end.astype(int).tolist(), color, int(size * 0.6) + 1
                )


def _rectangle(shape, inset):
    low, right, bottom = inset - 0.5, shape[1] - 0.5 - inset, shape[0] - 0.5 - inset
    return np.array([[low, low], [right, low], [right, bottom], [low, bottom]])


def _filled(size, polygons):
    mask = np.zeros(size[::-1], np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.round(polygon * 16).astype(np.int32)], 255, shift=4)
    return mask


def _blend(view, patch, mask):
    # view + (patch - view) * mask / 255 in place.
    alpha = cv2.merge([mask] * 3).astype(np.float32) / 255
    view[:] = cv2.add(view, cv2.multiply(cv2.subtract(patch, view, dtype=cv2.CV_32F), alpha), dtype=cv2.CV_8U)


def _letterbox_band(rng, image, faces):
    height = len(image)
    band = int(rng.uniform(0, 0.2) * height)
    low = max((f[1] + 0.3 * f[2] for f in faces), default=0)
    if band and low < height - band:
        image[height - band :] = 127


def degrade(rng, image):
    """A camera's faults at random: exposure, gamma, grey, blur, noise, compression.

    image: (H, W, 3) uint8 RGB. Returns the same shape, uint8.
    """
    x = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(rng.normal(0, 0.3))
    contrast, lift = np.exp(rng.normal(0, 0.2)), rng.normal(0, 0.06)
    if rng.random() < 0.12:
        contrast, lift = rng.uniform(0.12, 0.5), 0.0
    # Contrast turns about mid grey, darkness about black.
    pivot = 0.5 if contrast > 0.6 else 0.0
    curve = ((x**gamma - pivot) * contrast + pivot + lift) * 255
    gains = np.exp(rng.normal(0, 0.06, 3)).astype(np.float32)
    table = np.clip(curve[:, None] * gains, 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table[None])
    if rng.random() < 0.18:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.3:
        noise = np.empty(image.shape, np.int16)
        cv2.randn(noise, np.zeros(3), np.full(3, rng.uniform(2, 22)))
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.3:
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        if ok:
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return image


def heat_target(faces, height, width):
    """Targets of one picture for the network.

    faces: (M, 6) as `Composer.draw` returns. Returns float32 maps at stride 8: heat (h, w) with Gaussian
    peaks of 1 (Zhou et al. 2019, section 3), valid (h, w) zero where the loss must not look, geometry
    (5, h, w): offset x, y in strides, log side (log px), cos and sin of the roll, and weight (h, w).
    """
    h, w = height // STRIDE, width // STRIDE
    heat, valid = np.zeros((h, w), np.float32), np.ones((h, w), np.float32)
    geometry, weight = np.zeros((5, h, w), np.float32), np.zeros((h, w), np.float32)
    rows, columns = np.mgrid[:h, :w].astype(np.float32)
    for x, y, side, roll, _, counts in faces:
        dx, dy = ((p - (STRIDE - 1) / 2) / STRIDE - g for p, g in ((x, columns), (y, rows)))
        squared = dx**2 + dy**2
        radius = 0.055 * side / STRIDE
        if not counts:
            valid[squared < (0.3 * side / STRIDE + 1) ** 2] = 0
            continue
        sigma = max(radius, 0.55)
        bump = np.exp(-squared / (2 * sigma**2))
        bump[np.unravel_index(np.argmin(squared), squared.shape)] = 1
        heat = np.maximum(heat, bump)
        near = (bump > 0.35) & (bump >= weight)
        weight[near] = bump[near]
        values = (
            dx,
            dy,
            np.full_like(dx, np.log(side)),
            np.full_like(dx, np.cos(roll)),
            np.full_like(dx, np.sin(roll)),
        )
        for channel, value in zip(geometry, values, strict=True):
            channel[near] = value[near]
    return heat, valid, geometry, weight
