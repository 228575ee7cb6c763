"""The engine of compiled kernels: what it can run, and how it calls them."""
