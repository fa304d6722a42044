"""A symmetric tiny model and a random sample set in the layout of the training cache."""

from dataclasses import replace

import numpy as np
import pytest

from steadyface.align.crop import Crop
from steadyface.face_model.morphable import Embedding, save_face_model
from steadyface.learn.parameters import similarity_from_pose
from steadyface.points.ibug68_mirror import IBUG68_MIRROR
from steadyface.rotation import matrix_from_euler


@pytest.fixture(scope="session")
def mirror_model(tiny_model):
    """`tiny_model` whose MediaPipe points come in mirrored pairs on its symmetric vertices."""
    rng = np.random.default_rng(3)
    front = np.flatnonzero((tiny_model.shape.mean[:, 2] < 90) & (tiny_model.shape.mean[:, 0] > 0))
    right = rng.choice(front, 239, replace=len(front) < 239)
    vertices = np.concatenate([right, tiny_model.mirror[right]])
    # A vertex is a point of any triangle that it is a corner of.
    triangle, barycentric = [], []
    for v in vertices:
        t, corner = np.argwhere(tiny_model.triangles == v)[0]
        triangle.append(t)
        barycentric.append(np.eye(3)[corner])
    embedding = Embedding(np.array(triangle), np.array(barycentric))
    shape = replace(
        tiny_model.shape,
        mean=tiny_model.shape.mean.astype(np.float32),
        identity_basis=tiny_model.shape.identity_basis.astype(np.float32),
        expression_basis=tiny_model.shape.expression_basis.astype(np.float32),
    )
    return replace(tiny_model, shape=shape, embeddings={**tiny_model.embeddings, "mediapipe478": embedding})


@pytest.fixture(scope="session")
def flip_index():
    """Mirror partners of `mirror_model`'s MediaPipe points."""
    return np.concatenate([np.arange(239, 478), np.arange(239)])


@pytest.fixture(scope="session")
def model_file(mirror_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    save_face_model(mirror_model, path)
    return path


@pytest.fixture(scope="session")
def sample_folder(mirror_model, tmp_path_factory):
    """A sample set of 40 pictures: the landmarks as blots on grey, so that there is something to learn."""
    rng = np.random.default_rng(5)
    count, n = 40, 160
    folder = tmp_path_factory.mktemp("cache") / "portraits"
    folder.mkdir()
    shape = mirror_model.landmarks("mediapipe478")
    identity = rng.standard_normal((count, 6)).astype(np.float32)
    expression = rng.random((count, 4)).astype(np.float32)
    rotation = matrix_from_euler(rng.normal(0, 0.25, (count, 3)) * [1, 1, 0])
    scale = np.full(count, 1 / 220)
    translation = rng.normal(0, 0.02, (count, 2))
    points = shape(identity, expression) @ rotation.transpose(0, 2, 1)
    landmarks = scale[:, None, None] * points[..., :2] + translation[:, None]
    images = np.full((count, n, n, 3), 90, np.uint8)
    for i in range(count):
        x, y = np.clip(np.round(120 * landmarks[i] + 79.5).astype(int), 0, n - 1).T
        images[i, y, x] = 250
    np.save(folder / "images.npy", images)
    np.savez(
        folder / "labels.npz",
        rotation=rotation.astype(np.float32),
        scale=scale.astype(np.float32),
        translation=translation.astype(np.float32),
        identity=identity,
        expression=expression,
        landmarks478=landmarks.astype(np.float32),
        weight478=np.ones(count, np.float32),
        source=np.zeros(count, np.uint8),
        name=np.array([f"a{i}" for i in range(count)]),
        skin_ita=np.full(count, np.nan),
        eye_open=rng.random((count, 2)),
        mouth_open=rng.random(count),
    )
    return folder


#: Of the short videos: frames of each, and how many.
FRAMES, VIDEOS = 5, 4


@pytest.fixture(scope="session")
def paired_model(mirror_model):
    """`mirror_model` whose iBUG-68 points are mirrored as theirs are."""
    vertices = np.random.default_rng(4).permutation(
        np.flatnonzero((mirror_model.shape.mean[:, 2] < 90) & (mirror_model.shape.mean[:, 0] > 5))
    )
    # Edges across the middle.
    across = [t for t in mirror_model.triangles if {mirror_model.mirror[v] for v in t} & set(t)]
    triangle, barycentric = np.zeros(68, int), np.zeros((68, 3))
    for i, partner in enumerate(IBUG68_MIRROR):
        if i == partner:
            corners = across[i % len(across)]
            weight = np.isin(corners, mirror_model.mirror[corners]) / 2
        elif i < partner:
            corners = next(t for t in mirror_model.triangles if vertices[i] in t)
            weight = corners == vertices[i]
        else:
            twin = mirror_model.mirror[vertices[partner]]
            corners = next(t for t in mirror_model.triangles if twin in t)
            weight = corners == twin
        triangle[i] = np.flatnonzero((mirror_model.triangles == corners).all(1))[0]
        barycentric[i] = weight
    embeddings = {**mirror_model.embeddings, "ibug68": Embedding(triangle, barycentric)}
    return replace(mirror_model, embeddings=embeddings)


@pytest.fixture(scope="session")
def video_folder(paired_model, tmp_path_factory):
    """Short videos of a head that turns and drifts: its landmarks as blots on grey."""
    rng = np.random.default_rng(8)
    n, count = 160, FRAMES * VIDEOS
    folder = tmp_path_factory.mktemp("cache") / "videos"
    folder.mkdir()
    identity = np.repeat(rng.standard_normal((VIDEOS, 6)), FRAMES, 0).astype(np.float32)
    expression = rng.random((count, 4)).astype(np.float32)
    steps = np.tile(np.arange(FRAMES), VIDEOS)[:, None]
    rotation = matrix_from_euler(steps * [0.02, 0.06, 0.0] + rng.normal(0, 0.01, (count, 3)) * [1, 1, 0])
    crops, translation = [], np.zeros((count, 2))
    for i in range(count):
        crops.append(Crop.from_pose(rotation[i], 0.5, np.array([200.0, 150.0]) + 4 * steps[i]))
        translation[i] = crops[i].from_image(np.array([200.0, 150.0]) + 4 * steps[i])
        rotation[i, :2] = crops[i].rotation.T @ rotation[i, :2]
    scale = np.array([0.5 / c.side for c in crops])
    similarity = similarity_from_pose(rotation, scale, translation)
    points = {}
    for name in ("ibug68", "mediapipe478"):
        shape = paired_model.landmarks(name)(identity, expression)
        points[name] = (shape @ similarity[..., :3].swapaxes(-1, -2) + similarity[:, None, :, 3])[..., :2]
    images = np.full((count, n, n, 3), 90, np.uint8)
    for i in range(count):
        x, y = np.clip(np.round(points["ibug68"][i] * n * 0.75 + n / 2 - 0.5).astype(int), 0, n - 1).T
        images[i, y, x] = 250
    np.save(folder / "images.npy", images)
    np.savez(
        folder / "labels.npz",
        rotation=rotation.astype(np.float32),
        scale=scale.astype(np.float32),
        translation=translation.astype(np.float32),
        identity=identity,
        expression=expression,
        landmarks68=points["ibug68"].astype(np.float32),
        crop=np.array([[*c.center, c.side, c.roll] for c in crops]),
        clip=np.repeat(np.arange(VIDEOS), FRAMES),
    )
    return folder
