"""Decide which records of a business date are one person. Run as a module or by spark-submit."""

from __future__ import annotations

from jobs.night.single import main

if __name__ == "__main__":
    main("resolve")
