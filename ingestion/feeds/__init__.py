"""What a feed's YAML says, and its Spark SQL expressions."""
