"""Which number a person carries: what records held before decides, and a number once given is nobody else's."""
