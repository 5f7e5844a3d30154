"""An index of people for previews: answers as packed bits beside a publication. Derived data, never a source."""
