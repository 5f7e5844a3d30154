"""One night of identity: what it decides anew, the numbers people keep, the tables it writes."""
