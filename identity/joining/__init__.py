"""From links to people, purely: join tier by tier, apply limits, check, replay where a limit breaks."""
