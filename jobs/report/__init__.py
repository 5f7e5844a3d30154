"""What is generated: the night's report, schemas, reference pages."""
