"""``python -m jobs.cli`` is the ``cdp`` command."""

from jobs.cli import main

if __name__ == "__main__":
    main()
