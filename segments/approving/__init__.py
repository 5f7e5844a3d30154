"""Who lets a segment out: roles, decisions that are only ever added, files of other systems, and what holds a segment back."""
