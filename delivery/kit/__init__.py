"""The contract test kit: audiences, good and damaged, with known verdicts, by which a consumer's team tests its own program."""
