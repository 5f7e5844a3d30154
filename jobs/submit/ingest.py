"""Read the delivered files of a business date into trusted tables. Run as a module or by spark-submit."""

from __future__ import annotations

from jobs.submit.entry import run_step

if __name__ == "__main__":
    run_step("ingest")
