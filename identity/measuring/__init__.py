"""How good the map is: against known truth, against baselines, and by what can be seen without a truth."""
