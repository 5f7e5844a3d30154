"""Measured comparisons with what a user would pick instead: ``python -m benchmarks`` or ``make bench``.

Each module is one benchmark with a ``NAME``, a ``QUESTION`` and ``run(repeats) -> Outcome``. Results, with every raw
number and the facts of the machine, go to ``benchmarks/results``.
"""
