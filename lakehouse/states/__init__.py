"""States: what is known from when to when, changed by one rule."""
