"""A night that is decided bucket by bucket: a first one, one that decides everybody again, or one that reaches many.

An engine computes all that is of the size of the data; this process holds counts, the names that are nobody's, people's
decisions, what the plan says is reached and, where nodes fit, the union-find.
"""
