"""SQL without a JVM: the one place that connects to DuckDB."""
