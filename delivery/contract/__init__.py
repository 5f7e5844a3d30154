"""What a destination may rely on: the one file that verifies an audience, and the kit by which a consumer is tested."""
