"""Measured comparisons with what a user would pick instead: ``python -m benchmarks`` or ``make bench``.

Sub-rooms say what is measured: ``components``, ``nights``, ``reading``. A benchmark is a module with a ``QUESTION`` and
``run(repeats) -> Outcome``; ``__main__`` lists them by name. Modules named ``*_ways`` and ``spark_question`` are what a
benchmark starts as a process of its own. Results, with every raw number and the facts of the machine, go to
``benchmarks/results``.
"""
