"""Sending released audiences on to endpoints: what each of them holds from us, what changes there, what it answered."""
