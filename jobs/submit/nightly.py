"""Run the night of a business date. Run as a module or by spark-submit."""

from __future__ import annotations

from jobs.submit.entry import run_whole_night

if __name__ == "__main__":
    run_whole_night()
