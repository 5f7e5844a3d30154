"""From trusted records to the graph a night decides: identifiers, facts, decisions, links."""
