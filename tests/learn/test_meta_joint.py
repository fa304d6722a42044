import pytest
import torch

from steadyface.learn.meta_joint import look_ahead


@pytest.fixture
def line():
    """A model of one weight, to be driven to 3 by gradient descent with momentum."""
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)


def stepper(model, optimizer, targets, log=None):
    def step(name, batch):
        optimizer.zero_grad()
        (model.weight - targets[name]).square().sum().backward()
        optimizer.step()
        if log is not None:
            log.append((name, batch))
        return {"loss": 0.0}

    return step


def error(model):
    return lambda batch: (model.weight - batch).abs().sum()


@pytest.mark.parametrize(("truth", "winner"), [(3.0, "right"), (-3.0, "wrong")])
def test_keeps_the_loss_that_ends_nearer(line, truth, winner):
    model, optimizer = line
    targets = {"right": 3.0, "wrong": -3.0}
    result = look_ahead(
        model,
        optimizer,
        range(5),
        truth,
        stepper(model, optimizer, targets),
        error(model),
        ("right", "wrong"),
    )
    assert result.winner == winner
    assert result.errors[winner] == pytest.approx(float((model.weight.detach() - truth).abs()))
    assert result.errors[winner] < 3 < max(result.errors.values())


def test_is_plain_training_with_the_winner(line):
    model, optimizer = line
    targets = {"a": 3.0, "b": -3.0}
    for _ in range(2):
        look_ahead(
            model, optimizer, range(4), 3.0, stepper(model, optimizer, targets), error(model), ("b", "a")
        )
    plain = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        plain.weight.zero_()
    plain_optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.5)
    step = stepper(plain, plain_optimizer, targets)
    for _ in range(8):
        step("a", None)
    # The optimizer's momentum is the winner's too, or the second look-ahead would differ.
    torch.testing.assert_close(model.weight, plain.weight)


def test_both_losses_see_the_same_batches_once(line):
    model, optimizer = line
    log = []
    look_ahead(
        model,
        optimizer,
        [1, 2, 3],
        0.0,
        stepper(model, optimizer, {"a": 1.0, "b": 2.0}, log),
        error(model),
        ("a", "b"),
    )
    assert log == [(n, b) for n in "ab" for b in (1, 2, 3)]
