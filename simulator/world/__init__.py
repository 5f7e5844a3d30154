"""The people of the simulated bank, what each channel knows of them, their money and their lives; nothing here writes a file."""
