"""Gates at the hand-overs: measures, bounds, verdicts."""
