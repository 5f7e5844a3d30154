"""What the tags of a workspace come to for a sample of people, before any night."""
