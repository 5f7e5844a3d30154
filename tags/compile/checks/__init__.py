"""What can be wrong with a registry entry, found before anything runs."""
