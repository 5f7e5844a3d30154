"""Whether the bytes of a lake are those that were published: digests of files, the chain of publications."""
