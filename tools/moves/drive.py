"""drive.py ROOT [room …]: apply rooms, one commit each; checks after each."""
import argparse, re, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
import move, plan, check
p = argparse.ArgumentParser(); p.add_argument("root", type=Path); p.add_argument("rooms", nargs="*"); p.add_argument("--no-commit", action="store_true"); p.add_argument("--until"); p.add_argument("--quick", action="store_true")
o = p.parse_args()
root = o.root.resolve()
BIN = Path(sys.executable).parent
import os
env = os.environ | {"PYTHONPATH": str(root / "src")}
def contracts():
    floors, circles = check.layers(root)
    if circles: print("   ! circles of rooms:", circles)
    path = root / "pyproject.toml"; text = path.read_text()
    body = "".join(f'  "{" | ".join(f)}",\n' for f in floors[::-1])
    new = re.sub(r"layers = \[\n.*?\n\]", lambda m: f"layers = [\n{body}]", text, count=1, flags=re.S)
    new = re.sub(r'(modules = \[\n)((?:  "clipper\.algorithms\.\w+",\n)+)', lambda m: m[1] + "".join(sorted(m[2].splitlines(keepends=True))), new)
    path.write_text(new)
def run(*words, must=True):
    d = subprocess.run(["nice", *map(str, words)], cwd=root, env=env, capture_output=True, text=True)
    if d.returncode:
        print("   FAILED:", " ".join(map(str, words))[:100]); print((d.stdout + d.stderr)[-3500:])
    return d.returncode == 0
IMPORT_ALL = """
import importlib, pkgutil, warnings, clipper
warnings.simplefilter("error", DeprecationWarning)
for m in pkgutil.walk_packages(clipper.__path__, "clipper."):
    if m.name.endswith("__main__"): continue
    importlib.import_module(m.name)
"""
for room in plan.ROOMS:
    if o.rooms and room.name not in o.rooms: continue
    began = time.time()
    print("==", room.name, flush=True)
    changed = move.apply(root, room)
    if "tool.importlinter" in (root / "pyproject.toml").read_text() and not (root / "docs/rooms.toml").exists(): contracts()
    if (root / "tools/where.py").exists(): run(BIN / "python", "tools/where.py")
    move.sh("git", "add", "-A", cwd=root)
    if not move.sh("git", "status", "--porcelain", cwd=root).strip():
        print("    nothing to do", flush=True)
        if o.until == room.name: break
        continue
    ok = all([run(BIN / "ruff", "check", "."), run(BIN / "ruff", "format", "--check", ".")])
    missing = check.unresolved(root)
    if missing: print("   FAILED: names that nothing defines:", *missing, sep="\n     "); ok = False
    if not o.quick: ok = all([ok, run(BIN / "lint-imports"), run(BIN / "python", "-c", IMPORT_ALL)])
    print("   ", "ok" if ok else "NOT OK", f"{time.time() - began:.0f} s", flush=True)
    if not ok: sys.exit(1)
    dirty = move.sh("git", "status", "--porcelain", cwd=root).strip()
    if dirty and not o.no_commit:
        move.sh("git", "commit", "-q", "-m", room.message, cwd=root)
    if o.until == room.name: break
