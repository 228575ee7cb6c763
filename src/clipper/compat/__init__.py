"""Other libraries' interfaces over Clipper, for programs written for them."""
