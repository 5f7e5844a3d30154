"""From registry entries to SQL: plan, relations, checks, compiler."""
