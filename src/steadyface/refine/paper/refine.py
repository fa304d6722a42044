"""A video's face refined by the paper's own method: the track and the frames in, the refined track out."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np
import torch
from torch.nn import functional

from ...errors import InputError
from ...image import check_image
from ...rotation import axis_angle_from_matrix, matrix_from_axis_angle
from ...track import Track
from ..completion import complete
from ..select import select_frames
from ..texture import TextureMerge, VideoTexture
from ..unwrap import UVUnwrap
from .objective import DECIMETRE, check_pinhole
from .optimize import FaceBatch, PaperConfig, Refinery, inference_phase, texture_phase
from .renderer import HeadGeometry, Surface, rotation_matrix
from .sampling import FaceCrop, crop_face, sample_texture
from .window import TextureWindow, face_triangles

#: Frames that show a smaller share of the texels around the face keep their values.
MIN_SEEN = 0.05


@dataclass(frozen=True)
class PaperResult:
    """What self-refinement found of a track of T frames.

    track: the refined `Track`; texture: `VideoTexture`, of M_t on the skin of the face, beside it merged from
    the texture phase's frames and completed; irradiance: (T, s, s, C) float16 maps in [0, 10], 1 where a
    frame was not refined; irradiance_uv: (U, 2) where the model's `uv_triangles` lie in them;
    objective_before: (T,) of the coarse face, the mean of the sampled textures and an irradiance of 1;
    objective_after: (T,) of this result; both NaN where too little of the face is seen; improved: (T,) bool,
    frames whose objective fell, also by their change of expression and pose alone: the others keep the
    coarse ones; texture_rows: those of the texture phase; seconds: that it took.
    """

    track: Track
    texture: VideoTexture
    irradiance: np.ndarray
    irradiance_uv: np.ndarray
    objective_before: np.ndarray
    objective_after: np.ndarray
    improved: np.ndarray
    texture_rows: np.ndarray
    seconds: float

    def vertex_irradiance(self, row):
        """Irradiance of every vertex in a frame: (V,), or (V, 3) where light has a colour.

        The map's mean where it has no place for a vertex.
        """
        model, values = self.track.model, self.irradiance[row].astype(np.float32)
        place = np.full((model.vertex_count, 2), np.nan)
        place[model.triangles.ravel()] = self.irradiance_uv[model.uv_triangles.ravel()]
        inside = ((place >= 0) & (place <= 1)).all(-1)
        out = np.tile(values.mean((0, 1)), (len(place), 1))
        grid = torch.as_tensor(2 * place[inside] - 1, dtype=torch.float32)[None, None]
        maps = torch.from_numpy(values).movedim(-1, 0)[None]
        read = functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
        out[inside] = read[0, :, 0].T.numpy()
        return out if out.shape[1] > 1 else out[:, 0]


@dataclass(frozen=True)
class _Sample:
    # A frame as it is kept: its crop, and what it shows of the texture (S, S, 3) and (S, S).
    crop: FaceCrop
    texture: np.ndarray
    visibility: np.ndarray


@dataclass(frozen=True)
class _Video:
    """The track, and what turns its frames into tensors.

    window: of the networks' textures, unwrap: of it; head: of the whole texture.
    """

    track: Track
    config: PaperConfig
    device: torch.device
    window: TextureWindow
    unwrap: UVUnwrap
    head: UVUnwrap

    @classmethod
    def of(cls, track, config, device):
        window = TextureWindow.around_face(track.model, config.networks.texture_size)
        unwraps = UVUnwrap(track.model, window.size, window.uv), UVUnwrap(track.model, window.full)
        return cls(track, config, device, window, *unwraps)

    def refinery(self):
        model = self.track.model
        head = HeadGeometry.of(model, self.device)
        return Refinery(head, Surface.of(model, self.window.uv, self.device), self.config)

    def tensor(self, array, dtype=torch.float32):
        return torch.as_tensor(np.asarray(array), dtype=dtype, device=self.device)

    def samples(self, frames, rows, merge=None):
        """The `_Sample` of each of the rows that shows enough of the face, one at a time.

        merge: `TextureMerge` of `head` that takes in the same frames.
        """
        wanted = set(rows.tolist())
        stream = frames() if callable(frames) else frames
        for row, image in cast(Iterable[tuple[int, np.ndarray]], stream):
            if row not in wanted:
                continue
            wanted.discard(row)
            image = check_image(image)
            if image.shape[1::-1] != tuple(self.track.image_size):
                raise InputError(
                    f"frames must have the size of the track's, {self.track.image_size}; "
                    f"got {image.shape[1::-1]} in row {row}: give the video that was tracked"
                )
            texture, visibility = sample_texture(self.unwrap, self.track, row, image)
            if (visibility > 0).sum() >= MIN_SEEN * len(self.unwrap):
                if merge:
                    merge.add(self.head.unwrap(image, self.track, row))
                yield _Sample(crop_face(self.track, row, image, self.config.crop), texture, visibility)
            if not wanted:
                return
        if wanted:
            raise InputError(
                f"{len(wanted)} rows of the track had no frame, the first {min(wanted)}: frames must give "
                "all, and again when gone through a second time, as a function that opens the video does"
            )

    def batch(self, samples):
        crops = [s.crop for s in samples]
        rows = [c.row for c in crops]
        t = self.track
        sampled, visibility = self.light_input(samples)
        return FaceBatch(
            rows=rows,
            image=self.tensor(np.stack([c.image for c in crops]), torch.uint8).movedim(-1, 1),
            inside=self.tensor(np.stack([c.inside for c in crops]), torch.bool),
            focal=self.tensor([c.focal for c in crops]),
            center=self.tensor(np.stack([c.center for c in crops])),
            rotation=self.tensor(matrix_from_axis_angle(np.asarray(t.rotation, float)[rows])),
            translation=self.tensor(t.translation[rows]),
            expression=self.tensor(t.expression[rows]),
            bounds=self.tensor(t.model.shape.bounds),
            sampled=sampled,
            visibility=visibility,
        )

    def textures(self, samples):
        """(n, 3, S, S) and (n, 1, S, S), the input of M_t."""
        texture = self.tensor(np.stack([s.texture for s in samples])).movedim(-1, 1)
        return texture, self.tensor(np.stack([s.visibility for s in samples]))[:, None]

    def light_input(self, samples):
        """The same on the coarser map of the irradiance: means of what was seen."""
        texture, visibility = self.textures(samples)
        block = self.window.size // self.config.irradiance_size
        weight = functional.avg_pool2d(visibility, block)
        return functional.avg_pool2d(texture * visibility, block) / weight.clamp_min(1e-6), weight


class _Findings:
    # What was found of the frames so far, beginning with the coarse track.
    def __init__(self, track, config):
        n, s = len(track), config.irradiance_size
        self.track = track
        self.rotation = np.array(track.rotation, float)
        self.translation = np.array(track.translation, float)
        self.expression = np.array(track.expression, float)
        self.irradiance = np.ones((n, s, s, config.networks.irradiance_channels), np.float16)
        self.before, self.after = np.full((2, n), np.nan)
        self.improved = np.zeros(n, bool)

    def add(self, rows, found):
        """Take in the `RefinedFrames` of rows."""
        self.before[rows], self.after[rows] = found.before, found.after
        self.improved[rows] = found.improved
        self.irradiance[rows] = found.irradiance.movedim(1, -1).cpu().numpy()
        # Frames that were not improved keep their numbers to the last digit.
        good = np.flatnonzero(found.improved)
        at = np.asarray(rows)[good]
        if not len(at):
            return
        change = {k: v.detach().double().cpu()[good] for k, v in vars(found.changes).items()}
        turn = rotation_matrix(change["rotation"]).numpy()
        self.rotation[at] = axis_angle_from_matrix(turn @ matrix_from_axis_angle(self.rotation[at]))
        self.translation[at] += DECIMETRE * change["translation"].numpy()
        low, high = self.track.model.shape.bounds.T
        self.expression[at] = np.clip(self.expression[at] + change["expression"].numpy(), low, high)

    def refined(self, identity):
        return replace(
            self.track,
            rotation=self.rotation,
            translation=self.translation,
            scale=self.track.focal / self.translation[:, 2],
            expression=self.expression,
            identity=identity,
        )


def refine_paper(frames, track, config=None, *, device="cpu", stage=None, progress=None):
    """Refine a face's track by the paper's own method: slow, and made for a GPU.

    frames: (row of the track, (H, W, 3) uint8 RGB), rows rising: an iterable that can be gone through twice,
    or a function that gives one each time. Only the crops of the texture phase's frames, then of one batch
    are held. track: `Track` in a pinhole camera; config: `PaperConfig`, the paper's unless given; device:
    torch's name of one; stage: called with the name of each phase, "texture" and "inference"; progress:
    called with the phase's steps done and their number. Frames of which nothing was seen, or less than
    `MIN_SEEN` of the face, keep their values. The same seed gives the same result on the same CPU.

    Returns `PaperResult`. Raises InputError for a weak-perspective track, a model without texture
    coordinates, frames that are missing or of the wrong size, and a device that this machine lacks.
    Source: SR-VFA (Yang et al. 2024), section 2.
    """
    start = time.perf_counter()
    check_pinhole(track)
    config = config or PaperConfig()
    stage = stage or (lambda name: None)
    progress = progress or (lambda done, count: None)
    video = _Video.of(track, config, _device(device))
    refinery = video.refinery()
    findings = _Findings(track, config)

    stage("texture")
    selected = select_frames(track, config.frames)
    merge = TextureMerge(video.head)
    samples = list(video.samples(frames, selected, merge))
    if not samples:
        raise InputError(
            f"none of the {len(selected)} selected frames shows the face: give the frames that were tracked"
        )
    batch, (textures, visibility) = video.batch(samples), video.textures(samples)
    identity = video.tensor(track.identity)
    face, found = texture_phase(
        *(refinery, batch, textures, visibility, identity), lambda epoch: progress(epoch, config.epochs)
    )
    findings.add(batch.rows, found)
    texture = _with_face(complete(merge.result(), video.head), face.texture, video)
    texture_rows = np.array(batch.rows)
    del samples, batch, textures, visibility, merge

    stage("inference")
    seen = np.ones(len(track), bool) if track.interpolated is None else ~np.asarray(track.interpolated)
    rest = np.setdiff1d(np.flatnonzero(seen), selected)
    steps = -(-len(rest) // config.batch) * config.inference_epochs
    done = 0
    for samples in _batches(video.samples(frames, rest), config.batch):
        batch = video.batch(samples)
        found = inference_phase(refinery, batch, face, lambda epoch, done=done: progress(done + epoch, steps))
        findings.add(batch.rows, found)
        done += config.inference_epochs
    return PaperResult(
        track=findings.refined(face.identity.cpu().numpy().astype(float)),
        texture=texture,
        irradiance=findings.irradiance,
        irradiance_uv=video.window.uv,
        objective_before=findings.before,
        objective_after=findings.after,
        improved=findings.improved,
        texture_rows=texture_rows,
        seconds=time.perf_counter() - start,
    )


def _with_face(texture, face, video):
    """The `VideoTexture` of the head, on the skin of the face (3, S, S) of M_t."""
    color = (255 * face).round().byte().movedim(0, -1).cpu().numpy()
    skin = video.unwrap.image_of(face_triangles(video.track.model)[video.unwrap.triangle])
    # With the texels around it, which are read at its border.
    skin = cv2.dilate(video.window.embed(skin.astype(np.uint8), 0), np.ones((3, 3), np.uint8))
    return replace(texture, color=np.where(skin[..., None], video.window.embed(color, 0), texture.color))


def _batches(items, size):
    """Lists of so many items each, the last one shorter."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _device(name):
    try:
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError) as e:
        raise InputError(f"torch has no device {name!r} here: use 'cpu'") from e
