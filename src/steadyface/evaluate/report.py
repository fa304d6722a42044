"""What was measured, as values: saved to JSON by each measuring command, shown on one Markdown page."""

import hashlib
import json
import math
import os
import platform
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata, resources
from pathlib import Path

from ..errors import InputError
from ..output import make_folder, replacing

#: Where the sections stand on the page; others follow in alphabetical order.
ORDER = (
    *(
        "steadybench",
        "clips",
        "clips_displacement",
        "clips_local_motion",
        "clips_standard",
        "clips_studio",
        "portraits",
        "live",
        "versus_mediapipe",
    ),
    *("refine_ablation", "refine_clips", "refine_occluders", "refine_speed", "refine_paper"),
    *(
        "memory",
        "memory_standard",
        "memory_studio",
        "startup",
        "installed_size",
        "fit",
        "sequence_fit",
        "views",
        "views_live",
        "views_exact",
    ),
    *(
        "flow",
        "ablation_3ddfa_v2",
        "ablation_displacement",
        "ablation_local_motion",
        "ablation_live",
        "networks",
    ),
    *("train", "film", "fwpdc", "ssme", "rasterize"),
)
_PACKAGES = ("steadyface", "numpy", "onnxruntime", "opencv-python-headless", "av")
_COMPARE = {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b}


@dataclass(frozen=True)
class Target:
    """One figure and what it must reach: `value relation limit`, for example 3.1 <= 4.0 percent."""

    what: str
    value: float
    relation: str
    limit: float
    unit: str = ""

    @property
    def met(self):
        """Whether the value is a number and stands in the relation to the limit."""
        return math.isfinite(self.value) and bool(_COMPARE[self.relation](self.value, self.limit))


@dataclass(frozen=True)
class Table:
    """A caption, column names, and rows of as many cells (text, numbers, or None)."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple, ...]


@dataclass(frozen=True)
class Section:
    """What one command measured.

    name: of its file; command: that makes it again; notes: paragraphs; pictures: pairs of a caption and a
    path relative to the page.
    """

    name: str
    title: str
    command: str
    targets: tuple[Target, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()
    machine: dict = field(default_factory=dict)


def machine():
    """The machine and versions that figures depend on: processor, system, packages, shipped files' hashes."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed as a package"
    networks = {}
    for file in sorted((resources.files("steadyface") / "assets").iterdir(), key=lambda f: f.name):
        if file.name.endswith((".onnx", ".npz")):
            networks[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions,
        **networks,
    }


def _processor():
    # platform.processor() is empty on most Linux systems.
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    facts = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    name = facts.get("model name") or platform.processor() or "unknown"
    family = f" (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else ""
    return name + family


def save(section, folder):
    """Write a section with this machine to `folder/results/<name>.json`, and the page anew.

    Returns the path of the page. Raises OutputError if it cannot be written.
    """
    folder = make_folder(Path(folder) / "results")
    _write(replace(section, machine=machine()), folder / f"{section.name}.json")
    return render(folder.parent)


def save_alone(section, folder):
    """Write a section with this machine to `folder/report.json` and `folder/report.md`.

    Returns the path of the page. Raises OutputError if it cannot be written.
    """
    folder = make_folder(folder)
    section = replace(section, machine=machine())
    _write(section, folder / "report.json")
    path = folder / "report.md"
    with replacing(path) as temporary:
        temporary.write_text("\n".join(_part(section, "# ")), encoding="utf-8")
    return path


def _write(section, path):
    with replacing(path) as temporary:
        # NaN is no JSON: what could not be measured is null.
        text = json.dumps(_finite(asdict(section)), indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _finite(x):
    if isinstance(x, dict):
        return {k: _finite(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [_finite(v) for v in x]
    if hasattr(x, "item"):
        x = x.item()
    return None if isinstance(x, float) and not math.isfinite(x) else x


def load(path):
    """Read a section written by `save`. Raises InputError if the file is not one."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        targets = [
            {**t, "value": math.nan if t["value"] is None else t["value"]} for t in content.pop("targets")
        ]
        tables = [
            Table(t["caption"], tuple(t["columns"]), tuple(map(tuple, t["rows"])))
            for t in content.pop("tables")
        ]
        content["notes"] = tuple(content["notes"])
        content["pictures"] = tuple(map(tuple, content.get("pictures", ())))
        return Section(targets=tuple(Target(**t) for t in targets), tables=tuple(tables), **content)
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise InputError(f"{path} is not a section of results: {e}") from e


def render(folder):
    """Write `folder/results.md` from the sections in `folder/results/*.json`. Returns its path."""
    folder = Path(folder)
    sections = [load(p) for p in (folder / "results").glob("*.json")]
    known = {name: i for i, name in enumerate(ORDER)}
    sections.sort(key=lambda s: (known.get(s.name, len(ORDER)), s.name))
    path = folder / "results.md"
    with replacing(path) as temporary:
        temporary.write_text(page(sections), encoding="utf-8")
    return path


def page(sections):
    """The Markdown page of sections: what must be reached first, then every section with its tables."""
    lines = [
        "# Results",
        "",
        "Written by the commands named under each heading; do not edit by hand. "
        "What each figure means is in [evaluation](evaluation.md).",
        "",
    ]
    lines += _targets([t for s in sections for t in s.targets])
    for section in sections:
        lines += _part(section, "## ", targets=False)
    return "\n".join(lines)


def _targets(targets):
    if not targets:
        return []
    rows = [
        (
            t.what,
            _value(t.value, t.unit),
            f"{t.relation} {_value(t.limit, t.unit)}",
            "yes" if t.met else "**no**",
        )
        for t in targets
    ]
    return [*_table(("what", "measured", "must be", "reached"), rows), ""]


def _part(section, level, targets=True):
    lines = [f"{level}{section.title}", "", f"`{section.command}`", ""]
    if targets:
        lines += _targets(section.targets)
    for table in section.tables:
        lines += [f"{table.caption}", "", *_table(table.columns, table.rows), ""]
    for caption, path in section.pictures:
        lines += [f"![{caption}]({path})", ""]
    for note in section.notes:
        lines += [note, ""]
    facts = "; ".join(f"{k} {v}" for k, v in section.machine.items() if k not in ("processor", "cores"))
    if section.machine:
        lines += [f"On {section.machine['processor']}, {section.machine['cores']} cores; {facts}.", ""]
    return lines


def _table(columns, rows):
    out = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        assert len(row) == len(columns), (columns, row)
        out.append("| " + " | ".join(_cell(c).replace("|", "\\|") for c in row) + " |")
    return out


def _value(x, unit):
    return f"{_cell(x)} {unit}".strip()


def _cell(x):
    if x is None or (isinstance(x, float) and math.isnan(x)):
        return "–"
    if not isinstance(x, float):
        return str(x)
    digits = 1 if abs(x) >= 10 else 2 if abs(x) >= 1 else 3
    text = f"{x:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
