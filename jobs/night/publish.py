"""Select people and publish the audiences of a business date. Run as a module or by spark-submit."""

from __future__ import annotations

from jobs.night.single import main

if __name__ == "__main__":
    main("publish")
