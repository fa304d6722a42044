"""Meta-joint optimization (3DDFA_V2, Algorithm 1): look ahead with two losses, keep the better."""

import copy
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LookAhead:
    """Outcome of one look-ahead: the winner's name, each loss's vertex error, and the winner's last terms."""

    winner: str
    errors: dict
    terms: dict


def _state(model, optimizer):
    return copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())


def look_ahead(model, optimizer, train_batches, test_batch, step, vertex_error, names=("fwpdc", "vdc")):
    """Update the model by k steps with the loss whose k steps end at the lower vertex error.

    model, optimizer: updated in place; both losses start from the same weights and the same optimizer
    state, and the winner's are kept. train_batches: the k meta-train batches, used by both; test_batch: the
    disjoint meta-test batch. step(name, batch) makes one optimizer step and returns its terms;
    vertex_error(batch) returns a float. On a tie the first name wins. Returns a `LookAhead`.
    """
    start = _state(model, optimizer)
    best, errors = None, {}
    for name in names:
        model.load_state_dict(start[0])
        # The optimizer keeps references to what it loads.
        optimizer.load_state_dict(copy.deepcopy(start[1]))
        terms = {}
        for batch in train_batches:
            terms = step(name, batch)
        with torch.no_grad():
            errors[name] = float(vertex_error(test_batch))
        if best is None or errors[name] < errors[best[0]]:
            best = (name, terms, _state(model, optimizer))
    if best is None:
        raise ValueError("give at least one loss to look ahead with")
    winner, terms, (weights, state) = best
    model.load_state_dict(weights)
    optimizer.load_state_dict(state)
    return LookAhead(winner, errors, terms)
