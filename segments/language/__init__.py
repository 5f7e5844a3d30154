"""What a specification says: conditions, operators, lists, policy; read and checked without data."""
