"""Entry points only: the ``cdp`` command and one module per step that ``spark-submit`` can run."""
