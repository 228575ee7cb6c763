"""Every annotated shape in the package is checked in every test; no test depends on how fast the machine is."""

import torch
from hypothesis import settings
from jaxtyping import install_import_hook

# Installed before the package is first imported, so that its modules are instrumented.
install_import_hook("clipper", "shape_checker.check")

settings.register_profile("clipper", deadline=None, max_examples=50)
settings.load_profile("clipper")
torch.set_num_threads(1)
