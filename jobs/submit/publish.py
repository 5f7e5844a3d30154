"""Select people and publish the audiences of a business date. Run as a module or by spark-submit."""

from __future__ import annotations

from jobs.submit.entry import run_step

if __name__ == "__main__":
    run_step("publish")
