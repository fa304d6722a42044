"""Films a script: pictures of a head whose place, shape and expression are known exactly.

Per frame: vertices through the script's pose and camera, light on the vertices, two passes of the rasteriser
(texture coordinates; light), the look's texture times the light, strands of hair, and what stands before the
face; then what a camera adds.
"""

import cv2
import numpy as np

from ..render.rasterize import rasterize_attributes
from ..render.shade import vertex_normals
from .actor import Actor
from .body import follow
from .conditions import Conditions
from .figure import build_figure
from .head import build_head
from .lighting import DISPLAY, Lighting, vertex_light
from .shadow import shadow_map
from .strands import cut_pieces, draw_pieces, strand_light

#: Pixels of the head are made this many times finer along x and y, then averaged.
FINER = 2
# Light times colour is kept in bytes at this share, so that highlights survive until the camera's curve.
_HEADROOM = 0.55


def film(script, look, stage, conditions, rng, *, figure=None, frames=None):
    """Film a script.

    script: `Script`; look: `Look`; stage: `Stage`; conditions: `Conditions`; figure: `Figure` of the script's
    model, built if not given; frames: which frames, default all. Yields (image, visible): (h, w, 3) uint8 RGB and (V,) bool, the
    model's vertices that face the camera with nothing before them.
    """
    shot = Shot(script, look, stage, conditions, rng, figure=figure)
    for i in range(len(script)) if frames is None else frames:
        yield shot.frame(i)


class Shot:
    """Everything about a filmed script that is the same in all its frames; frames in any order are alike."""

    def __init__(self, script, look, stage, conditions: Conditions, rng, *, figure=None):
        self.script, self.look, self.stage, self.conditions = script, look, stage, conditions
        self.figure = figure = figure or build_figure(build_head(script.model))
        self.actor = Actor(figure, look, script.identity)
        self.lighting = Lighting.random(rng, conditions.lighting, stage.light)
        self.torso_pose = follow(script, look.outfit)
        self.seed = int(rng.integers(2**31))
        self.curve = _curve()
        self._bent = np.flatnonzero(figure.bend[: figure.head_count] > 0)
        self.exposure = 1.0
        self.exposure = self._expose()

    def frame(self, i):
        """Frame i: the (h, w, 3) uint8 picture and (V,) bool, which of the model's vertices it shows."""
        seconds = i / self.script.fps
        image, visible = self._moment(i, self.lighting.at(seconds), seconds)
        return self._camera(image, i), visible

    def _points(self, i):
        """All vertices of frame i in the camera frame, mm: (V, 3)."""
        figure, actor, script = self.figure, self.actor, self.script
        head = figure.head.points(script.identity, script.expression[i]) + actor.grown
        points = np.empty((len(figure.bend), 3), np.float32)
        n = figure.head_count
        points[:n] = script.place(head, i)
        rotation, translation = self.torso_pose[0][i], self.torso_pose[1][i]
        bent = self._bent
        low = head[bent] @ rotation.T + translation
        points[bent] += (low - points[bent]) * figure.bend[bent, None]
        points[n:] = actor.torso @ rotation.T + translation
        return points

    def _moment(self, i, light, seconds, finer=FINER):
        """The scene of frame i before the camera adds anything: picture and visible vertices."""
        figure, script = self.figure, self.script
        size = script.image_size
        points = self._points(i)
        normals = vertex_normals(points, figure.triangles)
        lit = self._light(points, normals, light)
        pixels = np.column_stack([script.camera.project(points), points[:, 2]]).astype(np.float32)
        image = np.ascontiguousarray(self.stage.view(seconds, size))
        n, f = figure.head_count, len(figure.head.triangles)
        torso = _clipped(pixels[n:, :2].min(0), pixels[n:, :2].max(0) + 1, size)
        if torso:
            self._layer(image, pixels, lit, light, torso, 1, figure.corners[f:])
        self._turn = script.matrices[i]
        self._eyes = script.place(self.actor.eye_centers, i)
        strands = None
        low, high = pixels[:n, :2].min(0) - 3, pixels[:n, :2].max(0) + 4
        # Down to where the neck has gone into the clothes.
        high[1] += 0.2 * (high[1] - low[1])
        if self.actor.strands is not None:
            strands = self._strand_points(i, (self.torso_pose[0][i], self.torso_pose[1][i]))
            ends = script.camera.project(strands[:, ::3].reshape(-1, 3))
            low, high = np.minimum(low, ends.min(0) - 3), np.maximum(high, ends.max(0) + 4)
        box = _clipped(low, high, size)
        if box is None:
            return image, np.zeros(figure.head.model.vertex_count, bool)
        depth, hair = self._layer(image, pixels, lit, light, box, finer, figure.corners, strands)
        return image, self._visible(points, pixels, normals, depth, hair, box, finer)

    def _light(self, points, normals, light):
        figure, look = self.figure, self.look
        shadow = shadow_map(points, figure.triangles, light.toward, 160)(points + 2.0 * normals, 5.0)
        shadow = figure.smooth(shadow, 2)
        shelter = figure.shelter * self._mouth(points)
        return vertex_light(light, normals, shelter, shadow, look.shine_width).astype(np.float32)

    def _mouth(self, points):
        """Factor of the sky inside the mouth and under the lids: (V,)."""
        head = self.figure.head
        factor = np.ones(len(self.figure.bend), np.float32)
        n = self.figure.head_count
        deep = head.rest[:, 2] - head.rest[head.teeth, 2].min()
        factor[:n] = np.where(
            head.teeth | head.tongue | head.inside, 0.25 + 0.75 * np.exp(-np.maximum(deep, 0) / 14), 1
        )
        # Lids shade the eyes from above.
        high = np.clip((head.rest[:, 1] + 9) / 13, 0, 1)
        factor[:n] *= np.where(head.eyeball, 0.5 + 0.4 * high, 1)
        return factor

    def _layer(self, image, pixels, lit, light, box, finer, corners, strands=None):
        """Draw the mesh and its hair into a box (x0, y0, x1, y1) of the image, in place.

        corners: (F, 3) the triangles to draw; strands: points (N, P, 3) in the camera frame or None. Returns
        the depth, mm, and 255 where hair is before it, both (h, w) of the finer grid.
        """
        figure, actor = self.figure, self.actor
        x0, y0, x1, y1 = box
        w, h = finer * (x1 - x0), finer * (y1 - y0)

        def finely(xy):
            return finer * (xy - np.array([x0, y0], np.float32)) + (finer - 1) / 2

        at = pixels[figure.source]
        at[:, :2] = finely(at[:, :2])
        values = np.zeros((len(figure.source), 6), np.float32)
        values[:, :2] = figure.uv * len(actor.texture) - 0.5
        values[:, 3:] = lit[figure.source]
        place, depth = rasterize_attributes(at, corners, values[:, :3], (h, w), cull=True)
        glow, _ = rasterize_attributes(at, corners, values[:, 3:], (h, w), cull=True)
        color = cv2.remap(
            actor.texture, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        shown = self._shown(light)
        # From (key, sky, highlight) to what multiplies RGB and gloss.
        spread = np.zeros((4, 3), np.float32)
        spread[:3, 0], spread[:3, 1], spread[3, 2] = shown * light.key_color, shown * light.sky_color, 1
        product = cv2.multiply(color, cv2.transform(glow, spread), dtype=cv2.CV_32F)
        mix = np.column_stack([np.eye(3), shown * light.key_color]).astype(np.float32)
        rgb = cv2.LUT(cv2.convertScaleAbs(cv2.transform(product, mix), alpha=_HEADROOM), self.curve)
        mask = np.isfinite(depth).astype(np.uint8)
        part = image[y0:y1, x0:x1]
        if finer == 1:
            alpha = cv2.blur(mask.astype(np.float32), (3, 3))[..., None] * mask[..., None]
            part[:] = cv2.convertScaleAbs(part + (rgb - part.astype(np.float32)) * alpha)
            return depth, None
        # Nearest pixels, so that averaging gives back what was there.
        canvas = cv2.resize(part, (w, h), interpolation=cv2.INTER_NEAREST)
        hair = None
        if strands is not None:
            pieces = self._pieces(strands, finely, depth, light, shown)
            draw_pieces(canvas, pieces, False)
        cv2.copyTo(rgb, mask, canvas)
        if strands is not None:
            hair = np.zeros((h, w), np.uint8)
            draw_pieces(canvas, pieces, True, hair)
        self._glint(canvas, pixels, finely, depth, light)
        part[:] = cv2.resize(canvas, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        return depth, hair

    def _shown(self, light):
        return np.asarray(self.exposure * light.gain, np.float32)

    def _strand_points(self, i, torso):
        """Strands in the camera frame, their lower ends resting on the torso: (N, P, 3) mm."""
        points = self.script.place(self.actor.strands.points, i).astype(np.float32)
        rotation, translation = torso
        rest = self.actor.strands.points
        share = 0.75 * np.clip((rest[..., 1:2] - 60) / 110, 0, 1)
        if share.any():
            points += share.astype(np.float32) * (rest @ rotation.T.astype(np.float32) + translation - points)
        return points

    def _pieces(self, points, finely, depth, light, shown):
        actor, style = self.actor, self.look.hair
        strands = actor.strands
        flat = points.reshape(-1, 3)
        xy = finely(self.script.camera.project(flat).astype(np.float32)).reshape(*points.shape[:2], 2)
        normal = strands.normal @ self._turn.T.astype(np.float32)
        key, sky, gloss = strand_light(points, normal, light, style)
        total = np.maximum(key + sky, 1e-3)
        factor = (total**DISPLAY / total)[..., None]
        grey = np.clip(-strands.tint, 0, 1)[:, None]
        color = (style.color * np.abs(strands.tint)[:, None] * (1 - grey) + grey * (0.5 * style.color + 80))[:, None]
        lit = (key[..., None] * light.key_color + sky[..., None] * light.sky_color) * factor * shown
        rgb = color * lit + 255 * gloss[..., None] * shown * light.key_color
        scale = (
            self.script.focal / float(points[..., 2].mean()) * (finely(np.ones(2)) - finely(np.zeros(2)))[0]
        )
        rgb = self.curve[np.clip(_HEADROOM * rgb, 0, 255).astype(np.uint8)]
        return cut_pieces(xy, points[..., 2], depth, rgb, strands.width * scale)

    def _glint(self, canvas, pixels, finely, depth, light):
        """The lamp's reflection in the eyes, in place."""
        script = self.script
        for center in self._eyes:
            half = light.toward - center / np.linalg.norm(center)
            half /= np.linalg.norm(half)
            at = center + 15.0 * half
            scale = script.focal / at[2]
            x, y = finely(script.camera.project(at[None]).astype(np.float32))[0]
            size = (finely(np.ones(2)) - finely(np.zeros(2)))[0] * scale
            r = int(np.ceil(3 * size)) + 1
            cx, cy = int(round(x)), int(round(y))
            h, w = depth.shape
            if not (r < cx < w - r - 1 and r < cy < h - r - 1):
                continue
            place = slice(cy - r, cy + r + 1), slice(cx - r, cx + r + 1)
            gy, gx = np.mgrid[place]
            spot = np.exp(-((((gx - x) ** 2 + (gy - y) ** 2) / (0.85 * size) ** 2) ** 2))
            # Not where a lid is before the eye.
            spot = spot * (np.abs(depth[place] - at[2]) < 2.5)
            part = canvas[place]
            bright = 0.75 * min(1.0, 0.5 + 0.5 * light.key) * spot[..., None]
            part[:] = np.clip(part + (250 * np.minimum(light.gain, 1) - part) * bright, 0, 255).astype(
                np.uint8
            )

    def _visible(self, points, pixels, normals, depth, hair, box, finer):
        """Which of the model's vertices the picture shows: (V,) bool."""
        n = self.figure.head.model.vertex_count
        p = points[:n]
        facing = (normals[:n] * p).sum(-1) < 0
        x0, y0, x1, y1 = box
        at = np.rint(finer * (pixels[:n, :2] - (x0, y0)) + (finer - 1) / 2).astype(int)
        h, w = depth.shape
        inside = ((at >= 0) & (at < (w, h))).all(-1)
        x, y = np.clip(at[:, 0], 0, w - 1), np.clip(at[:, 1], 0, h - 1)
        seen = inside & facing & (p[:, 2] < depth[y, x] + 3.0)
        if hair is not None:
            seen &= hair[y, x] == 0
        # Where hair or the bent neck moved the surface, the picture does not show the model's.
        bare = (np.linalg.norm(self.actor.grown[:n], axis=-1) < 1.5) & (self.figure.bend[:n] < 0.05)
        return seen & bare

    def _expose(self):
        """Exposure that shows the face well in the first frame, darker skin darker."""
        figure, light = self.figure, self.lighting.at(0.0)
        points = self._points(0)
        normals = vertex_normals(points, figure.triangles)
        lit = self._light(points, normals, light)
        face = figure.head.exposed & (figure.head.rest[:, 2] < 20) & (figure.head.rest[:, 1] > -50)
        seen = face & (normals[: len(face), 2] < -0.2)
        level = float((lit[: len(face)][seen, 0] + lit[: len(face)][seen, 1]).mean()) if seen.any() else 1.0
        tone = float(self.look.skin.tone.mean())
        return (0.72 * tone + 0.28 * 140) / (tone * max(level, 0.05))

    def _camera(self, image, i):
        """What the camera adds: resolution and noise."""
        c = self.conditions
        rng = np.random.default_rng([self.seed, i])
        h, w = image.shape[:2]
        if c.resolution < 1:
            small = (max(round(w * c.resolution), 8), max(round(h * c.resolution), 8))
            image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        if c.noise > 0:
            image = add_noise(image, c.noise, rng)
        if c.resolution < 1:
            image = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
        return image


def add_noise(image, std, rng):
    """Sensor noise, a little of it in blots of two pixels: (h, w, 3) uint8 to the same, std in levels."""
    h, w = image.shape[:2]
    noise = np.empty((h, w, 3), np.int16)
    cv2.setRNGSeed(int(rng.integers(2**31 - 1)))
    cv2.randn(noise, (0, 0, 0), (16 * std,) * 3)
    return cv2.add(image, noise // 16, dtype=cv2.CV_8U)


def _curve():
    """From bytes with headroom to shown bytes, highlights rounded off: (256,) uint8."""
    x = np.arange(256) / _HEADROOM / 255
    shoulder = 0.78
    y = np.where(x > shoulder, shoulder + (1 - shoulder) * np.tanh((x - shoulder) / (1 - shoulder)), x)
    return np.clip(255 * y + 0.5, 0, 255).astype(np.uint8)


def _clipped(low, high, size):
    x0, y0 = np.maximum(np.floor(low).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(high).astype(int), size)
    return (int(x0), int(y0), int(x1), int(y1)) if x1 - x0 > 3 and y1 - y0 > 3 else None
