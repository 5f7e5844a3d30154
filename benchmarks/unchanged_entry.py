"""What the command ``cdp`` does, for the product that ``PYTHONPATH`` names; a file, since Spark needs a main module."""

import sys

if __name__ == "__main__":
    from jobs.cli import main

    sys.argv[0] = "cdp"
    main()
