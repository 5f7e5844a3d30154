"""What only the simulator knows: the truth files, what the identifiers can show at most, the effect of messages, the pictures."""
