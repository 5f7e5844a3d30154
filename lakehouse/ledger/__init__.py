"""The ledger of attempts, publications, the one writer's lock, and progress."""
