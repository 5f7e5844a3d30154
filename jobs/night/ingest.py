"""Read the delivered files of a business date into trusted tables. Run as a module or by spark-submit."""

from __future__ import annotations

from jobs.night.single import main

if __name__ == "__main__":
    main("ingest")
