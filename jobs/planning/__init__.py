"""What a changed workspace would move: a plan, computed on a clone of the lake that is thrown away."""
