"""The workspace before any night: made, checked, examined together with the machine."""
