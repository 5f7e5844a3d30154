"""One night, or a long history, of ingestion: the order of the work and its books."""
