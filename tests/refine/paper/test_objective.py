from dataclasses import replace

import numpy as np
import pytest
import torch

from steadyface.errors import InputError
from steadyface.evaluate import metrics
from steadyface.refine.paper import ObjectiveWeights, evaluate_objective
from steadyface.refine.paper.objective import frame_objective, ssim
from steadyface.rotation import axis_angle_from_matrix, matrix_from_axis_angle

NO_LIGHT = torch.ones(1, 1, 16, 16)
NONE = torch.zeros(1, 4), torch.zeros(1, 3), torch.zeros(1, 3)


@pytest.fixture
def pictures():
    """Rendered and seen, (2, 3, 40, 44) in [0, 1], and a ragged mask."""
    rng = np.random.default_rng(0)
    seen = np.cumsum(rng.normal(0, 0.05, (2, 3, 40, 44)), -1) + 0.5
    rendered = seen + rng.normal(0, 0.1, seen.shape)
    mask = np.zeros((2, 40, 44), bool)
    mask[0, 3:30, 5:44] = mask[1, 10:40, :20] = True
    mask[:, 15:18, 8:12] = False
    return (torch.tensor(np.clip(x, 0, 1)) for x in (rendered, seen, mask))


def test_ssim_has_the_numbers_of_the_metric(pictures):
    rendered, seen, mask = pictures
    mask = mask.bool()
    values = ssim(rendered, seen, mask).numpy()
    for k in range(2):
        a, b = (255 * x[k].movedim(0, -1).numpy() for x in (rendered, seen))
        assert 0.2 < values[k] < 0.98
        np.testing.assert_allclose(values[k], metrics.ssim(a, b, mask[k].numpy()), atol=1e-9)
    torch.testing.assert_close(
        ssim(rendered.float(), seen.float(), mask).double(), torch.tensor(values), atol=1e-5, rtol=0
    )


def test_ssim_sees_nothing_outside_the_mask(pictures):
    rendered, seen, mask = pictures
    mask = mask.bool()
    rendered.requires_grad_()
    ssim(rendered, seen, mask).sum().backward()
    assert rendered.grad is not None
    outside = ~mask[:, None].expand_as(rendered)
    assert not rendered.grad[outside].any()
    assert rendered.grad[~outside].abs().min() > 0
    assert ssim(rendered, seen, torch.zeros_like(mask)).isnan().all()
    torch.testing.assert_close(ssim(seen, seen, mask), torch.ones(2).double())


def test_gradient_of_ssim(pictures):
    rendered, seen, mask = (x[:1, ..., :14, :14] for x in pictures)
    assert torch.autograd.gradcheck(
        lambda x: ssim(x, seen, mask.bool()), rendered.clone().requires_grad_(), fast_mode=True
    )


def test_the_terms_are_the_papers():
    picture, mask = torch.rand(1, 3, 16, 16), torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, 4:12, 2:9] = True
    light = torch.where(mask[:, None], 1.2, 9.0)
    expression, rotation, translation = (
        torch.tensor([v]) for v in ([0.3, 0.4, 0, 0], [0.0, 0.03, 0], [0, 0, -4.0])
    )

    def value(light=NO_LIGHT, changes=NONE, **weights):
        return frame_objective(picture, picture, mask, light, *changes, **weights).item()

    assert value() == pytest.approx(0, abs=1e-6)
    # Half for an irradiance that is a fifth too high wherever the face is; whatever it is elsewhere.
    assert value(light) == pytest.approx(0.5 * 0.2, abs=1e-5)
    assert value(changes=(expression, *NONE[1:])) == pytest.approx(0.1 * 0.5, abs=1e-5)
    # 0.03 radians and 4 mm = 0.04 dm.
    assert value(changes=(NONE[0], rotation, translation)) == pytest.approx(0.1 * 0.05, abs=1e-5)
    doubled = ObjectiveWeights(expression=0.2, pose=0.0, irradiance=0.0)
    all_of_it = value(light, (expression, rotation, translation), weights=doubled)
    assert all_of_it == pytest.approx(0.2 * 0.5, abs=1e-5)
    squared = value(light, (expression, rotation, translation), weights=ObjectiveWeights(squared=True))
    assert squared == pytest.approx(0.1 * 0.25 + 0.1 * 0.0025 + 0.5 * 0.04, abs=1e-5)


def test_no_change_gives_a_gradient_that_is_a_number():
    picture, mask = torch.rand(1, 3, 16, 16), torch.ones(1, 16, 16, dtype=torch.bool)
    changes = [x.clone().requires_grad_() for x in (torch.ones(1, 1, 16, 16), *NONE)]
    frame_objective(picture, picture, mask, *changes).sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in changes if x.grad is not None)


def test_a_perfect_result_has_no_objective_but_its_changes(film):
    model = film.truth.model
    values = evaluate_objective(film, film.truth, film.truth, film.texture, model.uv, size=96)
    assert list(values) == list(range(6))
    # What is left is that of reading a picture of 160 x 120 between its pixels.
    assert max(values.values()) < 0.05
    spoiled = evaluate_objective(film, film.coarse, film.coarse, film.texture, model.uv, size=96)
    assert all(spoiled[row] > 1.5 * values[row] for row in values)
    moved = evaluate_objective(film, film.truth, film.coarse, film.texture, model.uv, size=96)
    for row in range(6):
        turn = matrix_from_axis_angle(film.truth.rotation[row]) @ (
            matrix_from_axis_angle(film.coarse.rotation[row]).T
        )
        shift = (film.truth.translation - film.coarse.translation)[row] / 100
        change = 0.1 * np.linalg.norm([*axis_angle_from_matrix(turn), *shift])
        assert change > 1e-3
        # The crop is the coarse track's, so the picture is read at other places.
        assert moved[row] - change == pytest.approx(values[row], abs=0.01)


def test_an_irradiance_counts_as_light_and_as_deviation(film):
    model = film.truth.model
    given = film, film.truth, film.truth, film.texture / 1.25, model.uv
    plain = evaluate_objective(film, film.truth, film.truth, film.texture, model.uv, size=64)
    for light in (np.full(model.vertex_count, 1.25), np.full((model.vertex_count, 3), 1.25)):
        lit = evaluate_objective(*given, lambda row, light=light: light, size=64)
        for row, value in plain.items():
            assert lit[row] == pytest.approx(value + 0.5 * 0.25, abs=0.005)


def test_refuses_what_cannot_be_evaluated(film):
    with pytest.raises(InputError, match="the weight pose must be >= 0; got -1"):
        ObjectiveWeights(pose=-1)
    model = film.truth.model
    given = film.texture, model.uv
    with pytest.raises(InputError, match="quality='standard' first"):
        evaluate_objective(film, film.truth, replace(film.truth, focal=None), *given)
    with pytest.raises(InputError, match=r"must be \(S, S, 3\), got \(8, 8\)"):
        evaluate_objective(film, film.truth, film.truth, np.zeros((8, 8)), model.uv)
    with pytest.raises(InputError, match=r"irradiance is of every vertex, 400 .* got \(5, 1\)"):
        evaluate_objective(film, film.truth, film.truth, *given, lambda row: np.ones(5))
