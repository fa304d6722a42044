"""Films a script: pictures of a head whose place, shape and expression are known exactly.

Per moment: vertices through the script's pose and camera, light on the vertices, the textured mesh, strands
of hair behind and before it, and what stands before the face; then what a camera adds.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..camera import Pinhole
from ..render.shade import vertex_normals
from .actor import Actor
from .body import follow
from .conditions import Conditions
from .eyes import draw_glint
from .figure import build_figure
from .glasses import Glasses, draw_glasses
from .hair import HairStyle, grow_bangs
from .head import build_head
from .layer import Grid, clipped, draw_layer
from .lighting import Lighting, vertex_light
from .props import lay, make_prop
from .sensor import Sensor, camera_curve, gain_curve
from .shadow import shadow_map
from .strands import draw_pieces, light_pieces, place_pieces

#: Pixels of the head are made this many times finer along x and y, then averaged.
FINER = 2
# Moments that a blurred frame is averaged from lie this far apart at most, px, and are this many at most.
_STEP, _MOMENTS = 1.5, 9


def film(script, look, stage, conditions, rng, *, figure=None, frames=None, window=None):
    """Film a script.

    script: `Script`; look: `Look`; stage: `Stage`; conditions: `Conditions`; figure: `Figure` of the script's
    model, built if not given; frames: which frames, default all; window: (x0, y0, x1, y1), the part of the
    image wanted, default all. Yields (image, visible): (h, w, 3) uint8 RGB and (V,) bool, the model's
    vertices that face the camera inside the picture with nothing before them.
    """
    shot = Shot(script, look, stage, conditions, rng, figure=figure)
    for i in range(len(script)) if frames is None else frames:
        yield shot.frame(i, window)


@dataclass(frozen=True)
class _Moment:
    """All vertices at a time: points (V, 3) mm in the camera frame, normals (V, 3), pixels (V, 3) px and mm;
    place: model frame to camera frame; rotation (3, 3); torso: its rotation and translation; camera: of the
    window; size: (w, h)."""

    points: np.ndarray
    normals: np.ndarray
    pixels: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    torso: tuple
    camera: Pinhole
    size: tuple[int, int]
    seconds: float

    def place(self, points):
        return (points @ self.rotation.T + self.translation).astype(np.float32)


class Shot:
    """Everything about a filmed script that is the same in all its frames, which come in any order.

    Arguments as of `film`.
    """

    def __init__(self, script, look, stage, conditions: Conditions, rng, *, figure=None):
        if conditions.occluder == "hair" and look.hair.kind in ("bald", "buzz"):
            # Nothing could fall over the face.
            look = replace(look, hair=HairStyle.random(rng, look.hair.color, "side"))
        self.script, self.look, self.stage, self.conditions = script, look, stage, conditions
        self.figure = figure = figure or build_figure(build_head(script.model))
        self.actor = Actor(figure, look, script.identity)
        self.lighting = Lighting.random(rng, conditions.lighting, stage.light)
        self.torso = follow(script, look.outfit)
        self.sensor = Sensor(script.image_size, conditions.resolution, conditions.noise, rng)
        self.prop, self.bangs, self.glasses = None, None, look.glasses
        if conditions.occluder in ("hand", "microphone", "cup"):
            self.prop = make_prop(conditions.occluder, script, look, rng)
        elif conditions.occluder == "hair":
            self.bangs = grow_bangs(look.hair, figure.head, self.actor.neutral, rng)
        elif conditions.occluder == "glasses":
            self.glasses = look.glasses or Glasses.random(rng)
        if self.glasses:
            face = script.model.landmarks("mediapipe478").neutral(script.identity)
            self._frames = self.glasses.curves(np.asarray(face, float))
        self._bent = np.flatnonzero(figure.bend[: figure.head_count] > 0)
        self._dimmed = _inner_dimming(figure)
        self.exposure = self._expose()
        self._curve = camera_curve()

    def frame(self, i, window=None):
        """Frame i: the (h, w, 3) uint8 picture and (V,) bool, which of the model's vertices it shows.

        window: (x0, y0, x1, y1) of the image, default all of it.
        """
        light = self.lighting.at(i / self.script.fps)
        moment = self._moment(i, window)
        times = self._times(i, moment)
        if len(times) == 1:
            image, visible = self._draw(moment, light, window)
        else:
            total, visible = 0, np.zeros(0, bool)
            for time in times:
                now = moment if time == i else self._moment(time, window)
                picture, seen = self._draw(now, light, window)
                total = total + picture.astype(np.float32)
                visible = seen if time == i else visible
            image = cv2.convertScaleAbs(np.asarray(total), alpha=1 / len(times))
        if not (light.gain == 1).all():
            image = cv2.LUT(image, gain_curve(light.gain))
        if window is None:
            image = self.sensor(image, i)
        else:
            image = Sensor(image.shape[1::-1], 1.0, self.conditions.noise, np.random.default_rng(i))(image, i)
        return image, visible

    def _times(self, i, moment):
        """Moments, in frames, that frame i is averaged from: an odd number with i in the middle."""
        open_ = self.conditions.exposure
        if open_ <= 0:
            return [i]
        rate = 0.5
        after = self._moment(i + rate * open_, None).pixels
        before = self._moment(i - rate * open_, None).pixels
        n = self.figure.head_count
        moved = float(np.linalg.norm((after - before)[:n, :2], axis=-1).max())
        if self.prop:
            ends = [self.prop.place((i + s * rate * open_) / self.script.fps)[0] for s in (-1, 1)]
            shift = np.diff(self.script.camera.project(np.stack(ends)), axis=0)
            moved = max(moved, float(np.linalg.norm(shift)))
        half = min(int(np.ceil(moved / _STEP / 2)), _MOMENTS // 2)
        return [i + open_ * rate * k / max(half, 1) for k in range(-half, half + 1)]

    def _moment(self, time, window):
        """The scene's `_Moment` at a time in frames."""
        figure, actor = self.figure, self.actor
        script = self.script.between(time)
        low = int(np.clip(np.floor(time), 0, len(self.script) - 1))
        high, share = min(low + 1, len(self.script) - 1), float(np.clip(time - low, 0, 1))
        rotation, translation = (a[low] + share * (a[high] - a[low]) for a in self.torso)
        head = figure.head.points(script.identity, script.expression[0]) + actor.grown
        points = np.empty((len(figure.bend), 3), np.float32)
        n = figure.head_count
        points[:n] = script.place(head, 0)
        bent = self._bent
        hung = head[bent] @ rotation.T + translation
        points[bent] += (hung - points[bent]) * figure.bend[bent, None]
        points[n:] = actor.torso @ rotation.T + translation
        camera, size = script.camera, script.image_size
        if window is not None:
            x0, y0, x1, y1 = window
            camera, size = Pinhole(camera.focal, camera.center - np.array([x0, y0])), (x1 - x0, y1 - y0)
        pixels = np.column_stack([camera.project(points), points[:, 2]]).astype(np.float32)
        return _Moment(
            points,
            vertex_normals(points, figure.triangles),
            pixels,
            script.matrices[0],
            np.asarray(script.translation[0]),
            (rotation, translation),
            camera,
            size,
            time / script.fps,
        )

    def _light(self, moment, light):
        figure = self.figure
        shadow = shadow_map(moment.points, figure.triangles, light.toward, 160)
        shadow = figure.smooth(shadow(moment.points + 2 * moment.normals, 5.0), 2)
        shelter = figure.shelter * self._dimmed
        lit = vertex_light(light, moment.normals, shelter, shadow, self.look.shine_width)
        return lit.astype(np.float32)

    def _draw(self, moment, light, window):
        """The scene at a moment before the camera adds anything: picture and visible vertices."""
        figure = self.figure
        n, f = figure.head_count, len(figure.head.triangles)
        pixels, size = moment.pixels, moment.size
        lit = self._light(moment, light)
        image = self.stage.view(moment.seconds, self.script.image_size, window)

        def paint(grid, corners):
            shown = self.exposure, grid, corners, self._curve
            return draw_layer(figure, self.actor.texture, pixels, lit, light, *shown)

        torso = clipped(pixels[n:, :2].min(0), pixels[n:, :2].max(0) + 1, size)
        if torso:
            color, depth = paint(Grid(torso, 1), figure.corners[f:])
            mask = np.isfinite(depth).astype(np.float32)
            alpha = (cv2.blur(mask, (3, 3)) * mask)[..., None]
            part = image[torso[1] : torso[3], torso[0] : torso[2]]
            part[:] = cv2.convertScaleAbs(part + (color - part.astype(np.float32)) * alpha)
        low, high = pixels[:n, :2].min(0) - 3, pixels[:n, :2].max(0) + 4
        # Down to where the neck has gone into the clothes.
        high[1] += 0.12 * (high[1] - low[1])
        strands = [self._hang(s, moment) for s in (self.actor.strands, self.bangs) if s is not None]
        for at, _, _ in strands:
            low, high = np.minimum(low, at.min((0, 1)) - 3), np.maximum(high, at.max((0, 1)) + 4)
        box = clipped(low, high, size)
        visible = np.zeros(figure.head.model.vertex_count, bool)
        if box is not None:
            visible = self._draw_head(image, moment, light, paint, Grid(box, FINER), strands)
        if self.prop:
            cover = lay(image, self.prop, moment.seconds, moment.camera, light, self.exposure)
            at = np.rint(pixels[: len(visible), :2]).astype(int)
            x, y = np.clip(at, 0, np.array(size) - 1).T
            visible &= cover[y, x] < 128
        return image, visible

    def _draw_head(self, image, moment, light, paint, grid, strands):
        """Draw head, hair and glasses into a grid of the image, in place; returns the visible vertices."""
        color, depth = paint(grid, self.figure.corners)
        canvas = grid.cut(image)
        mark = np.zeros(depth.shape, np.uint8)
        drawn = []
        for at, z, source in strands:
            shade = light_pieces(source, self.look.hair, moment.rotation, light, self.exposure, self._curve)
            scale = grid.finer * float(moment.camera.focal) / moment.translation[2]
            # What falls over the face is before it by its making.
            far = np.inf if source is self.bangs else 7.0
            drawn.append(place_pieces(grid.at(at), z, depth, shade, source.width * scale, far))
        for pieces in drawn:
            draw_pieces(canvas, pieces, False)
        cv2.copyTo(color, np.isfinite(depth).astype(np.uint8), canvas)

        def project(points):
            return grid.at(moment.camera.project(points))

        for center in moment.place(self.actor.eye_centers):
            draw_glint(canvas, center, light, project, depth)
        if self.glasses:
            curves = [moment.place(c) for c in self._frames]
            scale = grid.finer * float(moment.camera.focal) / moment.translation[2]
            draw_glasses(canvas, self.glasses, curves, project, depth, scale, mark)
        for pieces in drawn:
            draw_pieces(canvas, pieces, True, mark)
        grid.put(image, canvas)
        return self._visible(moment, depth, mark, grid)

    def _hang(self, strands, moment):
        """Pieces of strands in the image, low ends resting on the torso: (M, 4, 2) px, (M, 4) mm, strands."""
        points = strands.pieces[0]
        at = moment.place(points)
        share = np.clip((points[..., 1] - 60) / 110, 0, 1)
        low = np.flatnonzero(share.any(-1))
        if len(low):
            rotation, translation = moment.torso
            hung = points[low] @ rotation.T + translation
            at[low] += 0.75 * share[low, :, None] * (hung - at[low])
        scale = float(moment.camera.focal) / at[..., 2:]
        return at[..., :2] * scale + moment.camera.center.astype(np.float32), at[..., 2], strands

    def _visible(self, moment, depth, mark, grid):
        """Which of the model's vertices the picture shows: (V,) bool."""
        n = self.figure.head.model.vertex_count
        points = moment.points[:n]
        facing = (moment.normals[:n] * points).sum(-1) < 0
        at = np.rint(grid.at(moment.pixels[:n, :2])).astype(int)
        h, w = depth.shape
        inside = ((at >= 0) & (at < (w, h))).all(-1)
        x, y = np.clip(at, 0, [w - 1, h - 1]).T
        seen = inside & facing & (points[:, 2] < depth[y, x] + 3.0) & (mark[y, x] == 0)
        # Where hair or the bent neck moved the surface, the picture does not show the model's.
        lifted = np.linalg.norm(self.actor.grown[:n], axis=-1)
        return seen & (lifted < 1.5) & (self.figure.bend[:n] < 0.05)

    def _expose(self):
        """Exposure that shows the face well in the first frame, darker skin darker."""
        figure, moment = self.figure, self._moment(0, None)
        lit = self._light(moment, self.lighting.at(0.0))
        n = figure.head_count
        face = figure.head.exposed & (figure.head.rest[:, 2] < 20) & (figure.head.rest[:, 1] > -50)
        seen = face & (moment.normals[:n, 2] < -0.2)
        level = float(lit[:n][seen][:, :2].sum(-1).mean()) if seen.any() else 1.0
        tone = float(self.look.skin.tone.mean())
        return (0.72 * tone + 0.28 * 112) / (tone * max(level, 0.05))


def _inner_dimming(figure):
    """Factor of the sky inside the mouth and under the lids: (V,)."""
    head, n = figure.head, figure.head_count
    factor = np.ones(len(figure.bend), np.float32)
    deep = np.maximum(head.rest[:, 2] - head.rest[head.teeth, 2].min(), 0)
    inner = head.teeth | head.tongue | head.inside
    factor[:n] = np.where(inner, 0.25 + 0.75 * np.exp(-deep / 14), 1)
    # Lids shade the eyes from above.
    high = np.clip((head.rest[:, 1] + 9) / 13, 0, 1)
    factor[:n] *= np.where(head.eyeball, 0.5 + 0.4 * high, 1)
    return factor
