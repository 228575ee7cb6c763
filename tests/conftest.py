"""Every annotated shape in the package is checked in every test."""

from jaxtyping import install_import_hook

# Installed before the package is first imported, so that its modules are instrumented.
install_import_hook("clipper", "beartype.beartype")
