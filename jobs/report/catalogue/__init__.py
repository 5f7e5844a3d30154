"""What the catalogue of tags says beside their definitions: pictures, disuse, counts of statements."""
