"""Run a folder of small inputs: python tools/cases.py FOLDER [SECONDS].

Each file is a program, in Python or for the shell, that exits with 0 where all is right. It runs from the project's
root with the project's interpreter and command on the path, for 150 seconds at most. The status is 1 if any fails.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN = {".py": sys.executable, ".sh": "bash"}
LIMIT = 150.0


def outcome(file: Path, limit: float) -> tuple[bool, str]:
    """Whether it is right, and its last line."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        [RUN[file.suffix], str(file)], cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", stdin=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return False, f"no end after {limit:g} s"
    last = out.strip().splitlines()[-1:] or [""]
    return process.returncode == 0, last[0]


def main() -> int:
    """Run them one after another, a line each."""
    folder, limit = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else LIMIT
    files = sorted(file for file in folder.iterdir() if file.suffix in RUN)
    if not files:
        sys.exit(f"{folder} holds no cases, files that end in .py or .sh")
    failed = 0
    for file in files:
        began = time.monotonic()
        right, last = outcome(file, limit)
        failed += not right
        shown = "".join(letter if letter.isprintable() else "?" for letter in last)[:90]
        word = "right" if right else "FAILS"
        sys.stdout.write(f"{word:6} {time.monotonic() - began:5.0f} s  {file.stem:40.40} {shown}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(files)} cases, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
