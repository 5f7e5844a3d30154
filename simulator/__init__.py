"""A simulated bank with many channels: files for the inbox, truth files beside it, and an engine that answers."""
