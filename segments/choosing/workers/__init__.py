"""Deciding segments on a cluster's workers, bucket of people by bucket."""
