import numpy as np
import pytest
import torch

from steadyface.refine.paper.renderer import (
    HeadGeometry,
    Surface,
    front_triangles,
    locate,
    read_map,
    render,
    rotation_matrix,
)
from steadyface.refine.paper.window import face_triangles
from steadyface.render.rasterize import rasterize
from steadyface.render.shade import sample_texture
from steadyface.rotation import matrix_from_axis_angle

SIZE = (48, 52)
EPSILON = 1e-6


@pytest.fixture
def scene(face_model):
    """Two faces in double precision: all that `render` depends on, as named tensors, and the rest."""
    rng = np.random.default_rng(2)

    def real(x):
        return torch.tensor(np.asarray(x), dtype=torch.float64)

    inputs = {
        "identity": real(rng.normal(0, 0.3, face_model.identity_count)),
        "expression": real(rng.uniform(0, 1, (2, face_model.expression_count))),
        "rotation": real([[0.1, 0.3, -0.05], [0.0, 0.0, 0.0]]),
        "translation": real([[3, -20, 480], [-5, -18, 520]]),
        "texture": real(rng.uniform(0.1, 0.45, (1, 3, 24, 20))),
        "irradiance": real(rng.uniform(0.5, 1.5, (2, 1, 6, 6))),
    }
    head = HeadGeometry.of(face_model, dtype=torch.float64)
    surface = Surface.of(face_model, face_model.uv, dtype=torch.float64)
    focal, center = real([120.0, 130.0]), real([[26.0, 24.0], [25.0, 23.0]])
    return inputs, head, surface, focal, center


def vertices_of(head, inputs):
    names = "identity", "expression", "rotation", "translation"
    identity, expression, rotation, translation = (inputs[n] for n in names)
    return head.vertices(identity, expression, rotation_matrix(rotation), translation)


def test_vertices_are_those_of_a_track(film):
    track, model = film.truth, film.truth.model
    head = HeadGeometry.of(model, dtype=torch.float64)
    identity, expression, rotation, translation = (
        torch.tensor(x) for x in (track.identity, track.expression, track.rotation, track.translation)
    )
    vertices = head.vertices(identity, expression, rotation_matrix(rotation), translation)
    np.testing.assert_allclose(vertices.numpy(), track.vertices(), atol=1e-9)


def test_rotations_are_those_of_numpy_and_differentiable_at_none():
    w = torch.tensor(np.random.default_rng(0).normal(0, 1, (5, 3)))
    np.testing.assert_allclose(rotation_matrix(w).numpy(), matrix_from_axis_angle(w.numpy()), atol=1e-12)
    nothing = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation_matrix, nothing)


@pytest.mark.parametrize(
    "name", ["vertices", "identity", "expression", "rotation", "translation", "texture", "irradiance"]
)
def test_gradients_are_finite_differences(scene, name):
    inputs, head, surface, focal, center = scene
    inputs["vertices"] = vertices_of(head, inputs)
    # Which triangle a pixel sees is held: elsewhere there is nothing to differentiate.
    triangle = front_triangles(surface, inputs["vertices"], focal, center, SIZE)
    rng = np.random.default_rng(3)
    weight = torch.tensor(rng.normal(size=(2, 3, *SIZE)))
    direction = torch.tensor(rng.normal(size=inputs[name].shape))

    def total(value):
        given = {**inputs, name: value}
        vertices = given["vertices"] if name == "vertices" else vertices_of(head, given)
        drawn = render(
            *(surface, vertices, focal, center, given["texture"], given["irradiance"]), triangle=triangle
        )
        assert drawn.image.max() < 1  # nothing is cut at white
        return (weight * drawn.image).sum() + (weight[:, :1] * drawn.irradiance).sum()

    at = inputs[name].clone().requires_grad_()
    total(at).backward()
    step = EPSILON * direction
    expected = (total(inputs[name] + step) - total(inputs[name] - step)) / (2 * EPSILON)
    assert abs(expected) > 0.01
    torch.testing.assert_close((at.grad * direction).sum(), expected, rtol=1e-5, atol=1e-6)


def test_where_the_triangle_does_not_change_a_whole_render_has_these_gradients(scene):
    inputs, head, surface, focal, center = scene
    direction = torch.tensor([[0.01, -0.02, 0.015], [0.02, 0.01, -0.01]], dtype=torch.float64)

    def drawn(rotation):
        vertices = vertices_of(head, {**inputs, "rotation": rotation})
        triangle = front_triangles(surface, vertices, focal, center, SIZE)
        image = render(surface, vertices, focal, center, inputs["texture"], inputs["irradiance"], SIZE).image
        return image, triangle

    (more, there), (less, here) = (drawn(inputs["rotation"] + s * 1e-3 * direction) for s in (1, -1))
    same = (there == here)[:, None].expand_as(more)
    assert 0.5 < same.double().mean() < 1
    _, slope = torch.autograd.functional.jvp(lambda r: drawn(r)[0], inputs["rotation"], direction)
    # A texel's edge crossed between the two ends changes the slope a little.
    error = ((more - less) / 2e-3 - slope)[same].abs()
    assert slope[same].abs().max() > 0.05
    assert error.mean() < 0.01 * slope[same].abs().mean()


def test_equals_the_renderer_without_gradients(scene, face_model):
    inputs, head, surface, focal, center = scene
    vertices = vertices_of(head, inputs)
    drawn = render(surface, vertices, focal, center, inputs["texture"], inputs["irradiance"], SIZE)
    counted = face_triangles(face_model)
    for k in range(2):
        v = vertices[k].numpy()
        points = np.column_stack([float(focal[k]) * v[:, :2] / v[:, 2:] + center[k].numpy(), v[:, 2]])
        raster = rasterize(points, face_model.triangles, SIZE, cull=True)
        mask = raster.mask & counted[raster.triangle]
        assert mask.sum() > 300
        np.testing.assert_array_equal(drawn.mask[k].numpy(), mask)

        def read(texture, raster=raster):
            texture = np.ascontiguousarray(texture.movedim(0, -1).numpy().astype(np.float32))
            return sample_texture(raster, face_model.uv, face_model.uv_triangles, texture)

        light = read(inputs["irradiance"][k]).reshape(*SIZE, 1)
        plain = read(inputs["texture"][0]) * light
        # OpenCV reads textures at 1/32 of a texel, and its barycentrics are not perspective-correct.
        difference = np.abs(drawn.image[k].movedim(0, -1).numpy() - plain)[mask]
        assert difference.max() < 0.03
        assert difference.mean() < 0.003
        assert not drawn.image[k][:, ~drawn.mask[k]].any()


def test_barycentrics_are_perspective_correct(face_model):
    # A square that recedes steeply: its middle in space is not its middle in the image.
    vertices = torch.tensor([[[-10.0, -10, 100], [10, -10, 100], [-10, 10, 300]]], dtype=torch.float64)
    surface = Surface(
        torch.tensor([[0, 1, 2]]), torch.zeros(1, 3, 2, dtype=torch.float64), torch.tensor([True])
    )
    focal, center = torch.tensor([100.0]).double(), torch.tensor([[12.0, 12.0]]).double()
    triangle = torch.zeros(1, 1, 13, dtype=torch.long)
    triangle[..., 0] = -1
    pixels = locate(surface, vertices, focal, center, triangle)
    points = pixels.interpolate(vertices)[0, :, 0, 1:]
    torch.testing.assert_close(100 * points[0] / points[2] + 12, torch.arange(1.0, 13).double())
    torch.testing.assert_close(100 * points[1] / points[2] + 12, torch.zeros(12).double())
    assert not pixels.interpolate(vertices)[0, :, 0, 0].any()


def test_texels_have_their_centres_where_the_convention_says():
    values = torch.arange(12.0).reshape(1, 1, 3, 4)
    v, u = torch.meshgrid((torch.arange(3) + 0.5) / 3, (torch.arange(4) + 0.5) / 4, indexing="ij")
    grid = 2 * torch.stack([u, v], -1)[None] - 1
    torch.testing.assert_close(read_map(grid, values), values)
    # Of several images with one map, each reads it; with a map each, its own.
    two = torch.cat([grid, grid.flip(2)])
    torch.testing.assert_close(read_map(two, values), torch.cat([values, values.flip(3)]))
    torch.testing.assert_close(
        read_map(two, torch.cat([values, 2 * values])), torch.cat([values, 2 * values.flip(3)])
    )


def test_batched_equals_looped(scene):
    inputs, head, surface, focal, center = scene
    vertices = vertices_of(head, inputs)
    both = render(surface, vertices, focal, center, inputs["texture"], inputs["irradiance"], SIZE)
    for k in range(2):
        one = slice(k, k + 1)
        alone = render(
            *(surface, vertices[one], focal[one], center[one], inputs["texture"], inputs["irradiance"][one]),
            SIZE,
        )
        torch.testing.assert_close(alone.image, both.image[one])
        torch.testing.assert_close(alone.irradiance, both.irradiance[one])
        assert torch.equal(alone.mask, both.mask[one])


def test_what_does_not_count_still_hides(scene):
    inputs, head, surface, focal, center = scene
    vertices = vertices_of(head, inputs)
    triangle = front_triangles(surface, vertices, focal, center, SIZE)
    counted = surface.counted.clone()
    # A triangle in front that no longer counts leaves a hole, not what lies behind it.
    seen = int(triangle[0][triangle[0] >= 0][300])
    counted[seen] = False
    holed = Surface(surface.triangles, surface.uv, counted)
    drawn = render(holed, vertices, focal, center, inputs["texture"], inputs["irradiance"], SIZE)
    assert not drawn.mask[triangle == seen].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_the_same(scene):
    inputs, head, surface, focal, center = scene
    results = []
    for device in ("cpu", "cuda"):
        moved = {k: v.to(device, torch.float32).requires_grad_() for k, v in inputs.items()}
        parts = (type(x)(*(getattr(x, f).to(device) for f in vars(x))) for x in (head, surface))
        h, s = (
            type(p)(*(v.float() if v.is_floating_point() else v for v in vars(p).values())) for p in parts
        )
        drawn = render(
            *(s, vertices_of(h, moved), focal.to(device).float(), center.to(device).float()),
            *(moved["texture"], moved["irradiance"], SIZE),
        )
        drawn.image.square().sum().backward()
        results.append([drawn.image.detach().cpu(), *(v.grad.cpu() for v in moved.values())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
