"""A face whose every pixel is known: the small model, its texture, a track of it, and its frames."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import torch

from steadyface.camera import Pinhole
from steadyface.networks.self_refinement import SelfRefinementConfig
from steadyface.refine.paper import PaperConfig
from steadyface.render.rasterize import rasterize
from steadyface.render.shade import sample_texture
from steadyface.track import Track

SIZE, FOCAL = (160, 120), 260.0


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Networks this small are many times slower on several threads of a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Film:
    """What was filmed: truth and coarse `Track`, texture (S, S, 3) in [0, 1] over the model's own
    coordinates, and images of uint8."""

    truth: Track
    coarse: Track
    texture: np.ndarray
    images: list[np.ndarray]

    def __iter__(self):
        return iter(enumerate(self.images))


@pytest.fixture(scope="session")
def face_model(tiny_model):
    """The small model, its texture cut open at the back of the head instead of between the eyes."""
    v = tiny_model.vertex_count
    across = (tiny_model.uv[:, 0] + 0.5) % 1
    uv = np.stack([across, tiny_model.uv[:, 1]], -1)
    corners = tiny_model.triangles.copy()
    wide = np.ptp(uv[corners, 0], axis=1) > 0.5
    corners[wide] += np.where(uv[corners[wide], 0] < 0.5, v, 0)
    both = np.concatenate([uv, uv + np.array([1, 0])]) / [1.05, 1]
    # Only copies that a triangle needs: the others would lie outside the texture.
    used, corners = np.unique(corners, return_inverse=True)
    return replace(tiny_model, uv=both[used], uv_triangles=corners.reshape(-1, 3))


@pytest.fixture(scope="session")
def film(face_model):
    """Six frames of a turning head, as bright as its texture, and a track that is a little off."""
    n, rng = 6, np.random.default_rng(5)
    t = np.arange(n)
    truth = Track(
        frame_index=t,
        time_s=t / 25,
        rotation=np.column_stack([0.05 * np.sin(t), 0.25 * np.sin(t / 2), 0.03 * np.cos(t)]),
        translation=np.column_stack([5 * np.sin(t), 3 * np.cos(t) - 15, 500 + 10 * np.sin(t / 2)]),
        scale=np.ones(n),
        center=(np.array(SIZE) - 1) / 2,
        identity=rng.normal(0, 0.3, face_model.identity_count),
        expression=rng.uniform(0.2, 0.6, (n, face_model.expression_count)),
        sigma=np.ones((n, 68)),
        confidence=np.ones(n),
        image_size=SIZE,
        fps=25.0,
        model=face_model,
        focal=FOCAL,
    )
    truth = replace(truth, scale=FOCAL / truth.translation[:, 2])
    coarse = replace(
        truth,
        rotation=truth.rotation + rng.normal(0, 0.02, (n, 3)),
        translation=truth.translation + rng.normal(0, 1.5, (n, 3)) * [1, 1, 2],
    )
    noise = rng.uniform(0, 1, (64, 64, 3)).astype(np.float32)
    texture = 0.5 + 2.2 * (cv2.GaussianBlur(noise, (0, 0), 2.5) - 0.5)
    return Film(truth, coarse, np.clip(texture, 0, 1), [filmed(truth, i, texture) for i in range(n)])


def filmed(track, row, texture):
    """The frame of a row: (H, W, 3) uint8, drawn by the renderer that knows no gradients."""
    vertices = track.vertices(row)
    points = np.column_stack([Pinhole(track.focal, track.center).project(vertices), vertices[:, 2]])
    raster = rasterize(points, track.model.triangles, SIZE[::-1], cull=True)
    color = sample_texture(raster, track.model.uv, track.model.uv_triangles, texture.astype(np.float32))
    image = np.where(raster.mask[..., None], color, 0.3)
    return np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def config():
    """So small that an epoch takes milliseconds."""
    networks = SelfRefinementConfig(
        texture_size=64, texture_width=8, texture_levels=2, irradiance_levels=2, identity_width=16
    )
    return PaperConfig(
        frames=4,
        batch=4,
        epochs=2,
        inference_epochs=2,
        learning_rate=3e-3,
        last_learning_rate=1e-4,
        chunk=3,
        crop=64,
        irradiance_size=16,
        networks=networks,
    )
