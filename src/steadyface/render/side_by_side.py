"""How well a face's texture tells each frame: the frame, the texture laid over it, and their difference."""

from dataclasses import replace

import cv2
import numpy as np

from ..errors import InputError
from ..refine.irradiance import VertexIrradiance
from ..refine.texture import VideoTexture
from .overlay import draw_label
from .textured import FACE_REGIONS, render_textured

#: Longer side of a panel, pixels, up to what faces are enlarged by at most.
PANEL, LARGEST = 400, 4.0
#: The difference is shown so many times as large, around grey; what is not compared is darker.
AMPLIFIED, ZERO, ELSEWHERE = 4, 128, 52
#: Left free around the faces, of their span: in the video, and where a face is drawn.
MARGIN, CLOSE = 0.12, 0.04
# Frames are reduced to so many eighths: a window of whole eighths keeps its pixels square.
_PARTS = 8
# Height of the strips with the titles and below; colours of text.
_STRIP, _WHITE, _AMBER = 26, (235, 235, 235), (255, 184, 60)
# Of the vertices, one of so many tells where the face is.
_FEW = 12
# Frames of a track that are looked at together.
_PIECE = 1000


class SideBySide:
    """Panels of one size: frame | texture laid over it | difference before | difference after.

    Called with every frame. size: (width, height) px of its pictures. The panels show the window in which the
    faces are during the whole video, reduced or enlarged to `PANEL`. The difference is luminance, frame less
    texture, over the face; its title tells the mean of its absolute values in grey levels.
    """

    def __init__(self, tracks, before=None):
        """tracks: list of `Track` with textures, of one video; before: what they were refined from, in the
        same order, which is then drawn with the same textures and lights, None to leave that panel out.

        Raises InputError for no tracks, those without a texture, and others before.
        """
        if not tracks:
            raise InputError("a side-by-side video needs a track at least: got none")
        if before is not None and [len(t) for t in tracks] != [len(t) for t in before]:
            raise InputError("the tracks before refinement must have the frames of the refined ones")
        self._refined = list(tracks)
        self._texture = [VideoTexture.of_track(t) for t in tracks]
        self._shine = [VertexIrradiance(t.model) for t in tracks]
        if any(t.irradiance is None for t in tracks):
            raise InputError("a track with a texture needs its irradiance: refine it again")
        x, y, width, height = self._window = window_of([*tracks, *(before or [])])
        part = int(np.clip(_PARTS * PANEL // max(width, height), 1, _PARTS))
        self._inner = width * part // _PARTS, height * part // _PARTS
        enlarged = min(PANEL / max(self._inner), LARGEST) if part == _PARTS else 1.0
        self._panel = tuple(round(enlarged * n) for n in self._inner)
        self._now = [_reduced(t, (x, y), part / _PARTS, self._inner) for t in tracks]
        self._before = None
        if before is not None:
            self._before = [_reduced(t, (x, y), part / _PARTS, self._inner) for t in before]
        panels = 3 if before is None else 4
        self.size = panels * self._panel[0], self._panel[1] + 2 * _STRIP

    def __call__(self, image, rows, caption=""):
        """The picture of a frame: (h, w, 3) uint8.

        image: (H, W, 3) uint8; rows: of each track the row of this frame, None where it has none; caption:
        shown below. Raises InputError for an image of another size than the tracks'.
        """
        if image.shape[1::-1] != tuple(self._refined[0].image_size):
            raise InputError(
                f"the tracks are of frames of {self._refined[0].image_size} px, this one has "
                f"{image.shape[1::-1]}: give the video that was tracked"
            )
        x, y, width, height = self._window
        frame = image[y : y + height, x : x + width]
        if frame.shape[1::-1] != self._inner:
            frame = cv2.resize(frame, self._inner, interpolation=cv2.INTER_AREA)
        laid, seen = self._lay(frame, self._now, rows)
        panels = [("frame", self._grown(frame)), ("texture laid over it", self._marked(laid, rows))]
        if self._before is not None:
            there, mask = self._lay(frame, self._before, rows)
            panels.append(self._difference("difference before", frame, there, mask))
        after = "difference" if self._before is None else "difference after"
        panels.append(self._difference(after, frame, laid, seen))
        return self._arranged(panels, caption)

    def _lay(self, frame, tracks, rows):
        """The frame with the faces over it, and the (h, w) bool mask of what they cover."""
        out, covered = frame.copy(), np.zeros(frame.shape[:2], bool)
        there = [i for i, row in enumerate(rows) if row is not None]
        # Nearer faces hide farther ones.
        for i in sorted(there, key=lambda i: -tracks[i].translation[rows[i], 2]):
            track, row = tracks[i], rows[i]
            x, y, width, height = window = window_of([track], row, CLOSE)
            light = self._shine[i](track.vertices(row), self._refined[i].irradiance[row])
            color, mask = render_textured(track, row, self._texture[i], window, light)
            out[y : y + height, x : x + width][mask] = np.rint(color[mask])
            covered[y : y + height, x : x + width] |= mask
        return out, covered

    def _difference(self, name, frame, laid, mask):
        """Title and panel."""
        error = cv2.subtract(_grey(frame), _grey(laid), dtype=cv2.CV_16S)
        shown = np.clip(AMPLIFIED * error + ZERO, 0, 255)
        shown[~mask] = ELSEWHERE
        off = f", mean {np.abs(error[mask]).mean():.1f}" if mask.any() else ""
        return name + off, self._grown(cv2.cvtColor(shown.astype(np.uint8), cv2.COLOR_GRAY2RGB))

    def _marked(self, laid, rows):
        """The panel of the textured faces, with a label on those that were not refined."""
        panel = self._grown(laid)
        for i, (track, row) in enumerate(zip(self._now, rows, strict=True)):
            if row is None:
                continue
            x, y, width, _ = window_of([track], row, CLOSE)
            refined = self._refined[i].refined
            words = [f"face {i}"] if len(rows) > 1 else []
            words += ["fitted"] if refined is not None and not refined[row] else []
            factor = self._panel[0] / self._inner[0]
            if words:
                above = factor * (x + width / 2), factor * y
                draw_label(panel, ", ".join(words), above, _AMBER, 130)
        return panel

    def _grown(self, image):
        if self._panel == self._inner:
            return image.copy()
        return cv2.resize(image, self._panel, interpolation=cv2.INTER_LINEAR)

    def _arranged(self, panels, caption):
        width, height = self._panel
        out = np.full((*self.size[::-1], 3), 24, np.uint8)
        for k, (title, panel) in enumerate(panels):
            left = k * width
            out[_STRIP : _STRIP + height, left : left + width] = panel
            _write(out[:_STRIP, left : left + width], title)
        _write(out[-_STRIP:, :width], caption)
        _scale(out[-_STRIP:, -width:])
        return out


def window_of(tracks, row=None, margin=MARGIN):
    """(x, y, width, height) px around the faces of tracks in a row, by default all, within the image.

    margin: of the faces' span. Sides are multiples of eight pixels where the image has so many.
    """
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for track in tracks:
        outline = track.model.shape.points(_face_vertices(track.model))
        # A piece at a time, for long tracks.
        starts = range(0, len(track), _PIECE)
        for piece in [slice(s, s + _PIECE) for s in starts] if row is None else [[row]]:
            points = track.image_points(outline, piece)[..., :2]
            low, high = np.minimum(low, points.min((0, 1))), np.maximum(high, points.max((0, 1)))
    limit = np.array(tracks[0].image_size)
    around = margin * (high - low).max()
    first = np.clip(np.floor(low - around), 0, np.maximum(limit - _PARTS, 0)).astype(int)
    last = np.clip(np.ceil(high + around) + 1, np.minimum(first + _PARTS, limit), limit).astype(int)
    size = last - first
    size = np.where(size >= _PARTS, size // _PARTS * _PARTS, size)
    return (*first.tolist(), *size.tolist())


def _face_vertices(model):
    face = [model.regions[name] for name in FACE_REGIONS if name in model.regions]
    return np.flatnonzero(np.any(face, 0) if face else np.ones(model.vertex_count, bool))[::_FEW]


def _reduced(track, corner, factor, size):
    """The track in a part of its image from a corner (2,) on, reduced by a factor to size (w, h)."""
    return replace(
        track,
        scale=np.asarray(track.scale) * factor,
        center=(np.asarray(track.center) - corner + 0.5) * factor - 0.5,
        focal=None if track.focal is None else track.focal * factor,
        image_size=size,
    )


def _grey(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _write(strip, text):
    """Write a line into a strip, smaller where it is too long."""
    room = strip.shape[1] - 16
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.48, 1)
    size = 0.48 * min(1.0, room / max(width, 1))
    cv2.putText(strip, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, size, _WHITE, 1, cv2.LINE_AA)


def _scale(strip):
    """Draw what the greys of the difference mean."""
    reach = ZERO // AMPLIFIED
    height, width = strip.shape[:2]
    size = 0.4 * min(1.0, width / 360)
    texts = f"-{reach} texture brighter", f"frame brighter +{reach}"
    widths = [cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0] for text in texts]
    left, right = widths[0] + 14, width - widths[1] - 14
    for text, x in zip(texts, (8, right + 6), strict=True):
        cv2.putText(strip, text, (x, 17), cv2.FONT_HERSHEY_SIMPLEX, size, _WHITE, 1, cv2.LINE_AA)
    if right > left:
        strip[8 : height - 8, left:right] = np.linspace(0, 255, right - left)[None, :, None]
