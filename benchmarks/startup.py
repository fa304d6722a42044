"""How long `import steadyface` and `steadyface --help` take, and whether they load what is heavy.

python benchmarks/startup.py [--rounds 7] [--out docs]

Each round starts a new interpreter; the median counts. Files are in the system's cache by then.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

#: Packages that neither command may load: they are heavy, or not among the runtime's dependencies.
HEAVY = ("torch", "anny", "numba", "scipy", "matplotlib", "mediapipe", "onnxruntime")
#: Of those, the ones that the runtime does depend on.
ALLOWED = ("onnxruntime",)

IMPORT = """
import json, sys, time
start = time.perf_counter()
import steadyface
spent = time.perf_counter() - start
print(json.dumps({"spent": spent, "modules": sorted({m.partition(".")[0] for m in sys.modules})}))
"""
HELP = """
import io, json, sys
from contextlib import redirect_stdout
sys.argv = ["steadyface", "--help"]
from steadyface.cli import main
try:
    with redirect_stdout(io.StringIO()):
        main()
except SystemExit:
    pass
print(json.dumps({"modules": sorted({m.partition(".")[0] for m in sys.modules})}))
"""


def run(code):
    """Run code in a new interpreter: what it printed, read as JSON, and the seconds it all took."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    spent = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(done.stderr.strip() or f"status {done.returncode}")
    return json.loads(done.stdout), spent


def measure(rounds):
    """Median seconds of the import alone, the whole help command and a bare interpreter; what they load."""
    imports = [run(IMPORT)[0] for _ in range(rounds)]
    helps = [run(HELP) for _ in range(rounds)]
    bare = [run("print('{}')")[1] for _ in range(rounds)]
    return {
        "import_s": float(np.median([i["spent"] for i in imports])),
        "help_s": float(np.median([spent for _, spent in helps])),
        "bare_s": float(np.median(bare)),
        "import_heavy": [m for m in HEAVY if m in imports[0]["modules"]],
        "help_heavy": [m for m in HEAVY if m in helps[0][0]["modules"]],
    }


def section(measured):
    """The `Section` "startup" of what `measure` returns."""
    from steadyface.evaluate.report import Section, Table, Target

    heavy = [m for m in (*measured["import_heavy"], *measured["help_heavy"]) if m not in ALLOWED]
    rows = (
        ("import steadyface", measured["import_s"], ", ".join(measured["import_heavy"]) or "none"),
        ("steadyface --help, whole process", measured["help_s"], ", ".join(measured["help_heavy"]) or "none"),
        ("a bare interpreter, whole process", measured["bare_s"], ""),
    )
    return Section(
        name="startup",
        title="Start-up",
        command="python benchmarks/startup.py",
        targets=(
            Target("import steadyface", measured["import_s"], "<", 0.5, "s"),
            Target("steadyface --help", measured["help_s"], "<", 1.0, "s"),
            Target("forbidden packages loaded (torch, anny, numba, ...)", float(len(heavy)), "<=", 0.0),
        ),
        tables=(Table("Median of new processes.", ("what", "seconds", "heavy packages loaded"), rows),),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    from steadyface.evaluate.report import save

    print(save(section(measure(args.rounds)), args.out))


if __name__ == "__main__":
    main()
