"""A training run's log: one JSON object a line, and its picture."""

import json
from pathlib import Path


class Log:
    """Appends records to a JSON-lines file; every record is on disk when `write` returns."""

    def __init__(self, path):
        self.path = Path(path)

    def write(self, **record):
        """Append one record; numbers of any kind become plain ones."""
        with self.path.open("a") as f:
            f.write(json.dumps({k: _plain(v) for k, v in record.items()}) + "\n")


def _plain(value):
    return round(float(value), 6) if hasattr(value, "__float__") and not isinstance(value, int) else value


def read(path):
    """All records of a log, none if there is no file; a line cut short by an interruption is left out."""
    records = []
    if not Path(path).is_file():
        return records
    for line in Path(path).read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def plot(log_path, picture_path):
    """Draw a log: vertex error and loss terms, held-out errors, learning rate, and meta-joint's winners
    (3DDFA_V2, fig. 7: which loss each look-ahead chose)."""
    from matplotlib.figure import Figure

    records = read(log_path)
    train = [r for r in records if r["kind"] == "train"]
    heldout = [r for r in records if r["kind"] == "heldout"]
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    not_terms = {"kind", "iteration", "minutes", "rate", "images_per_s", "waiting", "winner", "gradient"}
    keys = sorted({k for r in train for k in r} - not_terms)
    for key in keys:
        rows = [(r["iteration"], r[key]) for r in train if key in r]
        target = axes[0, 0] if key == "vertex_mm" else axes[0, 1]
        target.plot(*zip(*rows, strict=True), label=key, linewidth=1)
    axes[0, 0].set(title="training vertex error, mm", yscale="log")
    axes[0, 1].set(title="loss terms", yscale="symlog")
    if train:
        axes[0, 1].legend(fontsize=7)
    for name in sorted({r["set"] for r in heldout}):
        rows = [(r["iteration"], r["error"]) for r in heldout if r["set"] == name]
        axes[1, 0].plot(*zip(*rows, strict=True), marker="o", label=name)
    axes[1, 0].set(title="held-out error, percent inter-ocular", yscale="log")
    if heldout:
        axes[1, 0].legend(fontsize=7)
    winners = [(r["iteration"], r["winner"]) for r in train]
    if len({w for _, w in winners}) > 1:
        axes[1, 1].plot(*zip(*winners, strict=True), ".", markersize=4)
        axes[1, 1].set(title="look-ahead's choice")
    elif train:
        axes[1, 1].plot(*zip(*[(r["iteration"], r["rate"]) for r in train], strict=True))
        axes[1, 1].set(title="learning rate")
    for a in axes.flat:
        a.set_xlabel("iteration")
    figure.savefig(picture_path, dpi=110)
