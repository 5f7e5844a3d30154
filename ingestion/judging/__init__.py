"""What becomes of every record: mapped to rows, refused with reasons, or a duplicate."""
