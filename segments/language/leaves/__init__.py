"""The leaves that ask about more than one value of a tag: rows, sequences, dates, ranks, samples, expressions."""
