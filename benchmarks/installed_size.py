"""Size of a fresh environment with steadyface and what it needs at run time.

python benchmarks/installed_size.py [--out docs]

Makes a virtual environment in a temporary folder and installs this checkout into it, without extras.
pip itself, which a user has anyway, is not counted; compiled bytecode is.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Top-level names in site-packages that belong to the environment, not to the installation.
NOT_COUNTED = ("pip", "setuptools", "_distutils_hack", "distutils-precedence.pth", "pkg_resources")


def sizes(site):
    """Bytes of each top-level entry of a site-packages folder, largest first; see `NOT_COUNTED`."""
    found = {}
    for entry in Path(site).iterdir():
        if entry.name.partition("-")[0] in NOT_COUNTED or entry.name in NOT_COUNTED:
            continue
        files = [entry] if entry.is_file() else (Path(f) / n for f, _, names in os.walk(entry) for n in names)
        found[entry.name] = sum(f.lstat().st_size for f in files)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def install(folder):
    """Make an environment in a folder with this checkout in it. Returns its site-packages."""
    venv.create(folder, with_pip=True)
    python = Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(
        subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    )


def section(found):
    """The `Section` "installed_size" of what `sizes` returns."""
    from steadyface.evaluate.report import Section, Table, Target

    total = sum(found.values()) / 1e6
    largest = [(name, size / 1e6) for name, size in found.items() if size >= 1e6]
    rest = total - sum(size for _, size in largest)
    return Section(
        name="installed_size",
        title="Installed size",
        command="python benchmarks/installed_size.py",
        targets=(Target("installed size of the runtime environment", total, "<", 500.0, "MB"),),
        tables=(
            Table(
                "Parts of site-packages of at least 1 MB.",
                ("part", "MB"),
                (*largest, ("everything else", rest), ("all", total)),
            ),
        ),
        notes=(f"Python {sys.version.split()[0]}; the interpreter and pip are not counted.",),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    from steadyface.evaluate.report import save

    with tempfile.TemporaryDirectory() as folder:
        found = sizes(install(folder))
    print(save(section(found), args.out))


if __name__ == "__main__":
    main()
