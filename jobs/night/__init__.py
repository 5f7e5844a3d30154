"""The night: the order of steps, each also a module that spark-submit runs."""
