"""An audience on its way out: files, manifest, destinations, verification."""
