"""A bank with several channels whose truth is known: files for the inbox, truth files beside it, and an engine that answers."""
