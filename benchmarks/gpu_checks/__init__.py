"""The checks of `benchmarks/gpu.py`, one file for each."""
