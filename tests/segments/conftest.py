"""Makes the modules beside it known to the tests in the folders below: pytest puts the folder of a conftest on the path."""
