"""Every annotated shape in the package is checked in every test; no test depends on how fast the machine is."""

import os
from pathlib import Path

import torch
from hypothesis import settings
from jaxtyping import install_import_hook

# Installed before the package is first imported, so that its modules are instrumented.
# Compiled kernels are left out: Numba cannot compile what checks their arguments.
SOURCE = Path(__file__).parents[1] / "src" / "clipper"
CHECKED = {".".join(p.relative_to(SOURCE.parent).with_suffix("").parts) for p in SOURCE.rglob("*.py")}
install_import_hook(sorted(name for name in CHECKED if ".kernels" not in name), "shape_checker.check")

settings.register_profile("clipper", deadline=None, max_examples=50)
settings.load_profile("clipper")
torch.set_num_threads(1)
os.environ["CLIPPER_ENGINE"] = "torch"  # the definition is tested, however long a run; tests/engines asks for more
