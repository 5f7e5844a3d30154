"""A night that begins from nothing, decided bucket by bucket: nobody has a number yet, so everybody is in one wave.

An engine computes all that is of the size of the data; this process holds counts, the names that are nobody's, people's
decisions, and where nodes fit, the union-find.
"""
