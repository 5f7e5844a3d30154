"""Questions to tables: one question from nothing, and many tags over one relation."""
