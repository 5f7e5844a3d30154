"""Checks of specifications before any data is read: every finding names code, file, line and a hint.

E00 a file that cannot be read · E01 unknown tag, list, segment, offer, event or version · E02 value outside the domain ·
E03 operator or type mismatch · E04 cycle · E05 tag not online or not of people · E06 purpose not allowed · E07 level above the destination's
ceiling · E08 C3 anywhere · E09 window longer than kept data · E11 overlapping ranges in one layer · E12 rules of contact that
contradict · E13 negation of a nullable tag without a stated policy · E14 a condition that is never or always true · E16 changed
definition under an old version · E18 what a worklist needs. Codes that begin with W are warnings: they stop nothing.
"""
