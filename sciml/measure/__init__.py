"""Measuring solvers: methods by name, run with a clock and a gauge of memory; records of what was found."""
