"""Numba kernels. Each is compiled once for all sizes and cached on the disk; importing them needs Numba.

A kernel calls only what stands in its own file: Numba's cache sees a change there, and in no other file.
"""
