import numpy as np
import pytest
import torch

from steadyface.learn.displacement_data import camera_statistics, cameras_of
from steadyface.learn.parameters import SIMILARITY_COUNT, join, similarity_from_pose, statistics
from steadyface.networks.complexity import parameter_count
from steadyface.networks.displacement import (
    CAMERA_COUNT,
    DisplacementRegressor,
    feature_split,
    similarity_from_camera,
)
from steadyface.networks.resnet import ResNet18
from steadyface.rotation import matrix_from_euler


def random_params(count, coefficients=10, seed=0):
    rng = np.random.default_rng(seed)
    rotation = matrix_from_euler(rng.normal(0, 0.4, (count, 3)))
    similarity = similarity_from_pose(
        rotation, rng.uniform(0.003, 0.006, count), rng.normal(0, 0.1, (count, 2))
    )
    return join(similarity, *np.split(rng.standard_normal((count, coefficients)), [coefficients // 2], 1))


def new_network(size=64, width=0.125, coefficients=10):
    torch.manual_seed(0)
    params = random_params(50, coefficients)
    return DisplacementRegressor(statistics(params), camera_statistics(params), size, width)


def test_features_are_split_in_proportion_to_the_outputs():
    assert feature_split(199 + 29) == (990, 35)
    # Of the embedded face model.
    shape, camera = feature_split(80 + 52)
    assert shape + camera == 1025
    assert abs(shape / camera - (80 + 52) / CAMERA_COUNT) < 0.5


def test_layers_are_the_paper_s():
    with torch.device("meta"):
        backbone = ResNet18()
    # ResNet-18 of He et al. has 11.69 M, 513,000 of them in ImageNet's last layer.
    assert parameter_count(backbone) == 11_689_512 - 513_000
    network = new_network(coefficients=228)
    heads = (network.shape_head, network.camera_head)
    assert [[m.out_features for m in h if isinstance(m, torch.nn.Linear)] for h in heads] == [
        [228, 228],
        [16, 8],
    ]
    assert [h[0].in_features for h in heads] == [990, 35]


def test_cameras_and_similarities_are_each_other_s_inverse():
    params = random_params(30)
    cameras = torch.from_numpy(cameras_of(params))
    assert cameras.shape == (30, CAMERA_COUNT)
    again = similarity_from_camera(cameras).numpy()
    np.testing.assert_allclose(again, params[:, :SIMILARITY_COUNT], atol=1e-9)
    # A quaternion's length means nothing.
    cameras[:, 1:5] *= 3
    np.testing.assert_allclose(similarity_from_camera(cameras).numpy(), again, atol=1e-12)


def test_an_untrained_network_sees_the_mean_face():
    network = new_network().eval()
    with torch.no_grad():
        r = network(torch.rand(3, 3, 64, 64) * 255)
    assert r.landmarks is None
    assert [a.shape for a in (r.z, r.params, r.log_sigma, r.confidence_logit)] == [
        (3, 22),
        (3, 22),
        (3, 68),
        (3,),
    ]
    mean = statistics(random_params(50)).mean
    torch.testing.assert_close(r.params[:, 12:], torch.from_numpy(mean[12:]).expand(3, -1))
    torch.testing.assert_close(r.params, r.z * network.params_std + network.params_mean, rtol=1e-4, atol=1e-5)


def test_every_answer_is_an_exact_similarity():
    network = new_network()
    for layer in (network.camera_head[-1], network.shape_head[-1]):
        torch.nn.init.normal_(layer.weight, std=0.5)
    r = network(torch.rand(4, 3, 64, 64) * 255)
    block = r.params[:, :12].unflatten(1, (3, 4))[..., :3]
    gram = block @ block.mT
    torch.testing.assert_close(gram, gram[:, :1, :1] * torch.eye(3), rtol=1e-4, atol=1e-9)
    assert (torch.linalg.det(block) > 0).all()


@pytest.mark.parametrize("size", [48, 96])
def test_any_input_size(size):
    network = new_network(size)
    assert network(torch.zeros(2, 3, size, size)).params.shape == (2, 22)
