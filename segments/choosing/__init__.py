"""Who is chosen, who is kept out, and in which arm."""
