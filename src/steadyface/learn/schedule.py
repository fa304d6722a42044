"""Learning rate and how far a run is, by iterations or by the clock."""

import math


def progress_of(iteration, minutes, iterations=None, budget_minutes=None):
    """How far a run is, 0 to 1: the larger of the shares of its iterations and of its minutes used."""
    shares = [iteration / iterations] if iterations else []
    if budget_minutes:
        shares.append(minutes / budget_minutes)
    if not shares:
        raise ValueError("give iterations, minutes, or both: the run would never end")
    return min(1.0, max(shares))


def rate_factor(progress, schedule="cosine", warmup=0.03, floor=0.01):
    """Factor of the peak learning rate at a progress in [0, 1].

    Rises linearly over `warmup`, then falls to `floor`: "cosine", or "step" (a tenth at 60 % and again at
    85 %).
    """
    if progress < warmup:
        return max(0.02, progress / warmup)
    if schedule == "cosine":
        x = (progress - warmup) / (1 - warmup)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * x))
    if schedule == "step":
        return 1.0 if progress < 0.6 else 0.1 if progress < 0.85 else 0.01
    raise ValueError(f"unknown schedule {schedule!r}: choose 'cosine' or 'step'")
