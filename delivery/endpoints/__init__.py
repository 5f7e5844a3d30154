"""Where audiences are sent that a folder does not reach: what YAML says of an endpoint, and how rows arrive there."""
