"""Dynamics of many small steps per decision, copy by copy: each function is a plain loop that Numba compiles."""
