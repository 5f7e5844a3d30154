"""Makes ``identity_records`` and ``memory_lake`` importable in every sub-folder: pytest puts this folder on the path."""
