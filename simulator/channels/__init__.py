"""The files that each channel of the simulated bank delivers, and how a file is written."""
