"""The Spark session and Delta's JARs."""
